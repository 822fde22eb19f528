/* libnvidia-ml.so.1 without a GPU: answers from a table of "key value" lines that may change while it runs.
 *
 * The table (deploy/local/nvml/table.py writes it) is read again whenever its file was replaced. A thread
 * names its table with stowplanFakeUse, so that one process can play many nodes; otherwise the environment
 * variable STOWPLAN_NVML names it. Device handles remember their table. Whatever is not defined here is
 * generated from nvml.h as "not supported" (generate.py).
 */
#define NVML_NO_UNVERSIONED_FUNC_DEFS
#include <nvml.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define DEVICES_MAX 64
#define INSTANCES_MAX 16
#define KEY_MAX 160
/* How soon a table that changed ends a hang or brings an event. */
#define POLL_NS 5000000L
#define NO_INSTANCE (-1)

typedef struct {
    char *key;
    char *value;
} entry;

typedef struct node node;

struct nvmlDevice_st {
    node *of;
    int index;
    int instance;
};

struct nvmlEventSet_st {
    node *of;
    long next;
    unsigned long long mask[DEVICES_MAX];
};

struct node {
    char path[4096];
    pthread_mutex_t lock;
    struct stat seen;
    char *text;
    entry *entries;
    size_t count;
    int inits;
    long generation;
    struct nvmlDevice_st devices[DEVICES_MAX][INSTANCES_MAX + 1];
    node *next;
};

static pthread_mutex_t nodes_lock = PTHREAD_MUTEX_INITIALIZER;
static node *nodes;
static _Thread_local node *used;

static int by_key(const void *a, const void *b) {
    return strcmp(((const entry *)a)->key, ((const entry *)b)->key);
}

/* Keep the table as it was when the file cannot be read. */
static void load(node *n) {
    FILE *file = fopen(n->path, "rb");
    struct stat now;
    if (file == NULL)
        return;
    if (fstat(fileno(file), &now) != 0) {
        fclose(file);
        return;
    }
    char *text = malloc((size_t)now.st_size + 1);
    size_t size = fread(text, 1, (size_t)now.st_size, file);
    fclose(file);
    text[size] = '\0';
    size_t lines = 1;
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    entry *entries = calloc(lines, sizeof(entry));
    size_t count = 0;
    char *rest = text, *line;
    while ((line = strsep(&rest, "\n")) != NULL) {
        char *space = strchr(line, ' ');
        if (space == NULL)
            continue;
        *space = '\0';
        entries[count++] = (entry){line, space + 1};
    }
    qsort(entries, count, sizeof(entry), by_key);
    free(n->text);
    free(n->entries);
    n->text = text, n->entries = entries, n->count = count, n->seen = now;
}

/* Files are replaced by renaming, so the inode tells even where the clock is too coarse. */
static void refresh(node *n) {
    struct stat now;
    if (stat(n->path, &now) != 0)
        return;
    if (now.st_ino != n->seen.st_ino || now.st_size != n->seen.st_size ||
        now.st_mtim.tv_sec != n->seen.st_mtim.tv_sec || now.st_mtim.tv_nsec != n->seen.st_mtim.tv_nsec)
        load(n);
}

static node *find(const char *path) {
    pthread_mutex_lock(&nodes_lock);
    node *n = nodes;
    while (n != NULL && strcmp(n->path, path) != 0)
        n = n->next;
    if (n == NULL && (n = calloc(1, sizeof(node))) != NULL) {
        snprintf(n->path, sizeof(n->path), "%s", path);
        pthread_mutex_init(&n->lock, NULL);
        for (int d = 0; d < DEVICES_MAX; d++)
            for (int i = 0; i <= INSTANCES_MAX; i++)
                n->devices[d][i] = (struct nvmlDevice_st){n, d, i - 1};
        n->next = nodes, nodes = n;
    }
    pthread_mutex_unlock(&nodes_lock);
    return n;
}

/* The table that calls of this thread without a device are about. */
__attribute__((visibility("default"))) void stowplanFakeUse(const char *path) {
    used = find(path);
}

static node *current(void) {
    const char *named = getenv("STOWPLAN_NVML");
    if (used == NULL && named != NULL)
        used = find(named);
    return used;
}

static const char *value_of(node *n, const char *key) {
    entry wanted = {(char *)key, NULL};
    entry *found = n->entries ? bsearch(&wanted, n->entries, n->count, sizeof(entry), by_key) : NULL;
    return found ? found->value : NULL;
}

static long long number_of(node *n, const char *key, long long otherwise) {
    const char *text = value_of(n, key);
    return text ? strtoll(text, NULL, 10) : otherwise;
}

/* "d3.NAME" for a device, "d3.m0.NAME" for its first MIG instance. */
static const char *key_of(nvmlDevice_t d, const char *name, char key[KEY_MAX]) {
    if (d->instance == NO_INSTANCE)
        snprintf(key, KEY_MAX, "d%d.%s", d->index, name);
    else
        snprintf(key, KEY_MAX, "d%d.m%d.%s", d->index, d->instance, name);
    return key;
}

static const char *device_value(nvmlDevice_t d, const char *name) {
    char key[KEY_MAX];
    return value_of(d->of, key_of(d, name, key));
}

static int is_hanging(node *n, int index, const char *call) {
    char key[KEY_MAX];
    snprintf(key, sizeof(key), "hang.%s", call);
    if (value_of(n, "hang.all") || value_of(n, key))
        return 1;
    snprintf(key, sizeof(key), "d%d.hang.%s", index, call);
    return value_of(n, key) != NULL;
}

static void wait_a_little(node *n) {
    struct timespec pause = {0, POLL_NS};
    pthread_mutex_unlock(&n->lock);
    nanosleep(&pause, NULL);
    pthread_mutex_lock(&n->lock);
    refresh(n);
}

/* Takes the node's lock. What every call meets first: a hang, an injected failure, a driver that is gone. */
static nvmlReturn_t enter(node *n, int index, const char *call) {
    char key[KEY_MAX];
    pthread_mutex_lock(&n->lock);
    refresh(n);
    while (is_hanging(n, index, call))
        wait_a_little(n);
    snprintf(key, sizeof(key), "fail.%s", call);
    long long code = number_of(n, key, NVML_SUCCESS);
    if (code == NVML_SUCCESS && index >= 0) {
        snprintf(key, sizeof(key), "d%d.fail.%s", index, call);
        code = number_of(n, key, NVML_SUCCESS);
    }
    if (code != NVML_SUCCESS)
        return (nvmlReturn_t)code;
    if (!number_of(n, "driver.loaded", 0))
        return NVML_ERROR_DRIVER_NOT_LOADED;
    return NVML_SUCCESS;
}

static nvmlReturn_t leave(node *n, nvmlReturn_t code) {
    pthread_mutex_unlock(&n->lock);
    return code;
}

static nvmlReturn_t enter_node(const char *call, node **n) {
    *n = current();
    if (*n == NULL)
        return NVML_ERROR_UNINITIALIZED;
    nvmlReturn_t code = enter(*n, -1, call);
    if (code == NVML_SUCCESS && ((*n)->inits == 0 || (*n)->generation != number_of(*n, "driver.generation", 0)))
        code = NVML_ERROR_UNINITIALIZED;
    return code;
}

static nvmlReturn_t enter_device(nvmlDevice_t d, const char *call) {
    nvmlReturn_t code = enter(d->of, d->index, call);
    if (code != NVML_SUCCESS)
        return code;
    if (d->of->inits == 0 || d->of->generation != number_of(d->of, "driver.generation", 0))
        return NVML_ERROR_UNINITIALIZED;
    char key[KEY_MAX];
    snprintf(key, sizeof(key), "d%d.lost", d->index);
    return value_of(d->of, key) ? NVML_ERROR_GPU_IS_LOST : NVML_SUCCESS;
}

#define NODE_CALL(n)                                                                                         \
    node *n;                                                                                                 \
    nvmlReturn_t refused = enter_node(__func__, &n);                                                         \
    if (n == NULL)                                                                                           \
        return refused;                                                                                      \
    if (refused != NVML_SUCCESS)                                                                             \
        return leave(n, refused)

#define DEVICE_CALL(d)                                                                                       \
    if ((d) == NULL)                                                                                         \
        return NVML_ERROR_INVALID_ARGUMENT;                                                                  \
    nvmlReturn_t refused = enter_device(d, __func__);                                                        \
    if (refused != NVML_SUCCESS)                                                                             \
    return leave((d)->of, refused)

/* Leaves with the device's value, or with "not supported" where the table has none. */
static nvmlReturn_t give_text(nvmlDevice_t d, const char *name, char *out, unsigned int length) {
    const char *text = device_value(d, name);
    if (text == NULL)
        return leave(d->of, NVML_ERROR_NOT_SUPPORTED);
    if (strlen(text) >= length)
        return leave(d->of, NVML_ERROR_INSUFFICIENT_SIZE);
    strcpy(out, text);
    return leave(d->of, NVML_SUCCESS);
}

static nvmlReturn_t take(nvmlDevice_t d, const char *name, long long *out) {
    const char *text = device_value(d, name);
    if (text == NULL)
        return NVML_ERROR_NOT_SUPPORTED;
    *out = strtoll(text, NULL, 10);
    return NVML_SUCCESS;
}

static nvmlReturn_t give_uint(nvmlDevice_t d, const char *name, unsigned int *out) {
    long long value = 0;
    nvmlReturn_t code = take(d, name, &value);
    *out = (unsigned int)value;
    return leave(d->of, code);
}

static nvmlReturn_t text_of_node(const char *key, char *out, unsigned int length, node *n) {
    const char *text = value_of(n, key);
    if (text == NULL)
        return leave(n, NVML_ERROR_NOT_SUPPORTED);
    if (strlen(text) >= length)
        return leave(n, NVML_ERROR_INSUFFICIENT_SIZE);
    strcpy(out, text);
    return leave(n, NVML_SUCCESS);
}

nvmlReturn_t nvmlInitWithFlags(unsigned int flags) {
    (void)flags;
    node *n = current();
    if (n == NULL)
        return NVML_ERROR_DRIVER_NOT_LOADED;
    nvmlReturn_t code = enter(n, -1, __func__);
    if (code == NVML_SUCCESS) {
        n->inits++;
        n->generation = number_of(n, "driver.generation", 0);
    }
    return leave(n, code);
}

nvmlReturn_t nvmlInit_v2(void) {
    return nvmlInitWithFlags(0);
}

nvmlReturn_t nvmlShutdown(void) {
    node *n = current();
    if (n == NULL)
        return NVML_ERROR_UNINITIALIZED;
    pthread_mutex_lock(&n->lock);
    if (n->inits == 0)
        return leave(n, NVML_ERROR_UNINITIALIZED);
    n->inits--;
    return leave(n, NVML_SUCCESS);
}

const char *nvmlErrorString(nvmlReturn_t result) {
    switch (result) {
    case NVML_SUCCESS: return "Success";
    case NVML_ERROR_UNINITIALIZED: return "Uninitialized";
    case NVML_ERROR_NOT_SUPPORTED: return "Not Supported";
    case NVML_ERROR_DRIVER_NOT_LOADED: return "Driver Not Loaded";
    case NVML_ERROR_GPU_IS_LOST: return "GPU is lost";
    case NVML_ERROR_LIB_RM_VERSION_MISMATCH: return "Driver/library version mismatch";
    default: return "Unknown Error";
    }
}

nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned int length) {
    NODE_CALL(n);
    return text_of_node("driver.version", version, length, n);
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int *version) {
    NODE_CALL(n);
    *version = (int)number_of(n, "driver.cuda", 0);
    return leave(n, *version ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED);
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count) {
    NODE_CALL(n);
    *count = (unsigned int)number_of(n, "devices", 0);
    return leave(n, NVML_SUCCESS);
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device) {
    node *n = current();
    if (n == NULL)
        return NVML_ERROR_UNINITIALIZED;
    if (index >= DEVICES_MAX)
        return NVML_ERROR_INVALID_ARGUMENT;
    nvmlReturn_t code = enter_device(&n->devices[index][0], __func__);
    if (code == NVML_SUCCESS && index >= number_of(n, "devices", 0))
        code = NVML_ERROR_INVALID_ARGUMENT;
    *device = &n->devices[index][0];
    return leave(n, code);
}

nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device) {
    NODE_CALL(n);
    for (int d = 0; d < number_of(n, "devices", 0) && d < DEVICES_MAX; d++)
        for (int i = 0; i <= INSTANCES_MAX; i++) {
            const char *text = device_value(&n->devices[d][i], "uuid");
            if (text != NULL && strcmp(text, uuid) == 0) {
                *device = &n->devices[d][i];
                return leave(n, NVML_SUCCESS);
            }
        }
    return leave(n, NVML_ERROR_NOT_FOUND);
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned int length) {
    DEVICE_CALL(device);
    return give_text(device, "uuid", uuid, length);
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned int length) {
    DEVICE_CALL(device);
    return give_text(device, "name", name, length);
}

nvmlReturn_t nvmlDeviceGetSerial(nvmlDevice_t device, char *serial, unsigned int length) {
    DEVICE_CALL(device);
    return give_text(device, "serial", serial, length);
}

nvmlReturn_t nvmlDeviceGetMinorNumber(nvmlDevice_t device, unsigned int *minor) {
    DEVICE_CALL(device);
    return give_uint(device, "minor", minor);
}

nvmlReturn_t nvmlDeviceGetNumaNodeId(nvmlDevice_t device, unsigned int *numa) {
    DEVICE_CALL(device);
    return give_uint(device, "numa", numa);
}

nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t *pci) {
    DEVICE_CALL(device);
    memset(pci, 0, sizeof(*pci));
    const char *bus = device_value(device, "pci");
    if (bus == NULL || sscanf(bus, "%x:%x:%x", &pci->domain, &pci->bus, &pci->device) != 3)
        return leave(device->of, NVML_ERROR_NOT_SUPPORTED);
    snprintf(pci->busId, sizeof(pci->busId), "%s", bus);
    return leave(device->of, NVML_SUCCESS);
}

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory) {
    DEVICE_CALL(device);
    long long total, used_bytes, reserved;
    if (memory->version != nvmlMemory_v2)
        return leave(device->of, NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
    if (take(device, "memory.total", &total) || take(device, "memory.used", &used_bytes) ||
        take(device, "memory.reserved", &reserved))
        return leave(device->of, NVML_ERROR_NOT_SUPPORTED);
    memory->total = (unsigned long long)total;
    memory->used = (unsigned long long)used_bytes;
    memory->reserved = (unsigned long long)reserved;
    memory->free = (unsigned long long)(total - used_bytes - reserved);
    return leave(device->of, NVML_SUCCESS);
}

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *rates) {
    DEVICE_CALL(device);
    long long gpu, memory;
    if (take(device, "utilisation.gpu", &gpu) || take(device, "utilisation.memory", &memory))
        return leave(device->of, NVML_ERROR_NOT_SUPPORTED);
    *rates = (nvmlUtilization_t){(unsigned int)gpu, (unsigned int)memory};
    return leave(device->of, NVML_SUCCESS);
}

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned int *milliwatts) {
    DEVICE_CALL(device);
    return give_uint(device, "power.usage", milliwatts);
}

nvmlReturn_t nvmlDeviceGetEnforcedPowerLimit(nvmlDevice_t device, unsigned int *milliwatts) {
    DEVICE_CALL(device);
    return give_uint(device, "power.limit", milliwatts);
}

nvmlReturn_t nvmlDeviceGetTemperatureV(nvmlDevice_t device, nvmlTemperature_t *temperature) {
    DEVICE_CALL(device);
    long long value = 0;
    nvmlReturn_t code = take(device, "temperature", &value);
    temperature->temperature = (int)value;
    return leave(device->of, code);
}

nvmlReturn_t nvmlDeviceGetEccMode(nvmlDevice_t device, nvmlEnableState_t *now, nvmlEnableState_t *pending) {
    DEVICE_CALL(device);
    long long value = 0;
    nvmlReturn_t code = take(device, "ecc.enabled", &value);
    *now = *pending = value ? NVML_FEATURE_ENABLED : NVML_FEATURE_DISABLED;
    return leave(device->of, code);
}

nvmlReturn_t nvmlDeviceGetTotalEccErrors(nvmlDevice_t device, nvmlMemoryErrorType_t type,
                                         nvmlEccCounterType_t counter, unsigned long long *count) {
    DEVICE_CALL(device);
    char name[KEY_MAX];
    long long value = 0;
    snprintf(name, sizeof(name), "ecc.%s.%s", counter == NVML_VOLATILE_ECC ? "volatile" : "aggregate",
             type == NVML_MEMORY_ERROR_TYPE_CORRECTED ? "corrected" : "uncorrected");
    nvmlReturn_t code = take(device, name, &value);
    *count = (unsigned long long)value;
    return leave(device->of, code);
}

nvmlReturn_t nvmlDeviceGetSramEccErrorStatus(nvmlDevice_t device, nvmlEccSramErrorStatus_t *status) {
    DEVICE_CALL(device);
    long long exceeded = 0;
    if (status->version != nvmlEccSramErrorStatus_v1)
        return leave(device->of, NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
    nvmlReturn_t code = take(device, "ecc.sram_exceeded", &exceeded);
    status->bThresholdExceeded = (unsigned int)exceeded;
    return leave(device->of, code);
}

nvmlReturn_t nvmlDeviceGetRemappedRows(nvmlDevice_t device, unsigned int *corrected, unsigned int *uncorrected,
                                       unsigned int *pending, unsigned int *failure) {
    DEVICE_CALL(device);
    long long a, b, c, d;
    if (take(device, "remap.corrected", &a) || take(device, "remap.uncorrected", &b) ||
        take(device, "remap.pending", &c) || take(device, "remap.failure", &d))
        return leave(device->of, NVML_ERROR_NOT_SUPPORTED);
    *corrected = (unsigned int)a, *uncorrected = (unsigned int)b;
    *pending = (unsigned int)c, *failure = (unsigned int)d;
    return leave(device->of, NVML_SUCCESS);
}

nvmlReturn_t nvmlDeviceGetRepairStatus(nvmlDevice_t device, nvmlRepairStatus_t *status) {
    DEVICE_CALL(device);
    long long channel, tpc;
    if (status->version != nvmlRepairStatus_v1)
        return leave(device->of, NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
    if (take(device, "repair.channel", &channel) || take(device, "repair.tpc", &tpc))
        return leave(device->of, NVML_ERROR_NOT_SUPPORTED);
    status->bChannelRepairPending = (unsigned int)channel;
    status->bTpcRepairPending = (unsigned int)tpc;
    return leave(device->of, NVML_SUCCESS);
}

nvmlReturn_t nvmlDeviceGetRetiredPages_v2(nvmlDevice_t device, nvmlPageRetirementCause_t cause,
                                          unsigned int *count, unsigned long long *addresses,
                                          unsigned long long *timestamps) {
    DEVICE_CALL(device);
    long long pages;
    int is_double = cause == NVML_PAGE_RETIREMENT_CAUSE_DOUBLE_BIT_ECC_ERROR;
    if (take(device, is_double ? "retired.double" : "retired.single", &pages))
        return leave(device->of, NVML_ERROR_NOT_SUPPORTED);
    unsigned int room = *count;
    *count = (unsigned int)pages;
    if (addresses == NULL || room < pages)
        return leave(device->of, pages ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS);
    for (long long page = 0; page < pages; page++)
        addresses[page] = (unsigned long long)page << 16, timestamps[page] = 0;
    return leave(device->of, NVML_SUCCESS);
}

nvmlReturn_t nvmlDeviceGetRetiredPagesPendingStatus(nvmlDevice_t device, nvmlEnableState_t *pending) {
    DEVICE_CALL(device);
    long long value = 0;
    nvmlReturn_t code = take(device, "retired.pending", &value);
    *pending = value ? NVML_FEATURE_ENABLED : NVML_FEATURE_DISABLED;
    return leave(device->of, code);
}

nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned int *now, unsigned int *pending) {
    DEVICE_CALL(device);
    long long value = 0;
    nvmlReturn_t code = take(device, "mig.enabled", &value);
    *now = *pending = (unsigned int)value;
    return leave(device->of, code);
}

nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, unsigned int *count) {
    DEVICE_CALL(device);
    long long value = 0;
    take(device, "mig.max", &value);
    *count = (unsigned int)value;
    return leave(device->of, NVML_SUCCESS);
}

nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t device, unsigned int index, nvmlDevice_t *instance) {
    DEVICE_CALL(device);
    if (index >= INSTANCES_MAX)
        return leave(device->of, NVML_ERROR_INVALID_ARGUMENT);
    nvmlDevice_t found = &device->of->devices[device->index][index + 1];
    *instance = found;
    return leave(device->of, device_value(found, "uuid") ? NVML_SUCCESS : NVML_ERROR_NOT_FOUND);
}

nvmlReturn_t nvmlDeviceGetGpuInstanceId(nvmlDevice_t device, unsigned int *id) {
    DEVICE_CALL(device);
    return give_uint(device, "gi", id);
}

nvmlReturn_t nvmlDeviceGetComputeInstanceId(nvmlDevice_t device, unsigned int *id) {
    DEVICE_CALL(device);
    return give_uint(device, "ci", id);
}

nvmlReturn_t nvmlDeviceGetAttributes_v2(nvmlDevice_t device, nvmlDeviceAttributes_t *attributes) {
    DEVICE_CALL(device);
    long long gpu_slices, compute_slices, megabytes;
    memset(attributes, 0, sizeof(*attributes));
    if (take(device, "slices.gpu", &gpu_slices) || take(device, "slices.compute", &compute_slices) ||
        take(device, "slices.memory_mib", &megabytes))
        return leave(device->of, NVML_ERROR_NOT_SUPPORTED);
    attributes->gpuInstanceSliceCount = (unsigned int)gpu_slices;
    attributes->computeInstanceSliceCount = (unsigned int)compute_slices;
    attributes->memorySizeMB = (unsigned long long)megabytes;
    return leave(device->of, NVML_SUCCESS);
}

static nvmlReturn_t link_value(nvmlDevice_t d, unsigned int link, const char *name, long long *out) {
    char key[KEY_MAX];
    snprintf(key, sizeof(key), "link%u.%s", link, name);
    return take(d, key, out) ? NVML_ERROR_INVALID_ARGUMENT : NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetNvLinkState(nvmlDevice_t device, unsigned int link, nvmlEnableState_t *state) {
    DEVICE_CALL(device);
    long long active = 0;
    nvmlReturn_t code = link_value(device, link, "active", &active);
    *state = active ? NVML_FEATURE_ENABLED : NVML_FEATURE_DISABLED;
    return leave(device->of, code);
}

nvmlReturn_t nvmlDeviceGetNvLinkRemoteDeviceType(nvmlDevice_t device, unsigned int link,
                                                 nvmlIntNvLinkDeviceType_t *type) {
    DEVICE_CALL(device);
    long long value = NVML_NVLINK_DEVICE_TYPE_UNKNOWN;
    nvmlReturn_t code = link_value(device, link, "type", &value);
    *type = (nvmlIntNvLinkDeviceType_t)value;
    return leave(device->of, code);
}

nvmlReturn_t nvmlDeviceGetNvLinkRemotePciInfo_v2(nvmlDevice_t device, unsigned int link, nvmlPciInfo_t *pci) {
    DEVICE_CALL(device);
    char name[KEY_MAX];
    memset(pci, 0, sizeof(*pci));
    snprintf(name, sizeof(name), "link%u.pci", link);
    const char *bus = device_value(device, name);
    if (bus == NULL)
        return leave(device->of, NVML_ERROR_INVALID_ARGUMENT);
    snprintf(pci->busId, sizeof(pci->busId), "%s", bus);
    return leave(device->of, NVML_SUCCESS);
}

nvmlReturn_t nvmlDeviceGetNvLinkErrorCounter(nvmlDevice_t device, unsigned int link,
                                             nvmlNvLinkErrorCounter_t counter, unsigned long long *value) {
    DEVICE_CALL(device);
    long long errors = 0;
    nvmlReturn_t code = link_value(device, link, "errors", &errors);
    *value = counter == NVML_NVLINK_ERROR_DL_REPLAY ? (unsigned long long)errors : 0;
    return leave(device->of, code);
}

static nvmlReturn_t pair_value(nvmlDevice_t a, nvmlDevice_t b, const char *name, long long *out) {
    char key[KEY_MAX];
    snprintf(key, sizeof(key), "%s.%d", name, b->index);
    return take(a, key, out);
}

nvmlReturn_t nvmlDeviceGetP2PStatus(nvmlDevice_t device1, nvmlDevice_t device2, nvmlGpuP2PCapsIndex_t index,
                                    nvmlGpuP2PStatus_t *status) {
    DEVICE_CALL(device1);
    long long value = NVML_P2P_STATUS_UNKNOWN;
    nvmlReturn_t code = pair_value(device1, device2, index == NVML_P2P_CAPS_INDEX_NVLINK ? "nvlink" : "p2p", &value);
    *status = (nvmlGpuP2PStatus_t)value;
    return leave(device1->of, code);
}

nvmlReturn_t nvmlDeviceGetTopologyCommonAncestor(nvmlDevice_t device1, nvmlDevice_t device2,
                                                 nvmlGpuTopologyLevel_t *level) {
    DEVICE_CALL(device1);
    long long value = NVML_TOPOLOGY_SYSTEM;
    nvmlReturn_t code = pair_value(device1, device2, "level", &value);
    *level = (nvmlGpuTopologyLevel_t)value;
    return leave(device1->of, code);
}

nvmlReturn_t nvmlDeviceGetGpuFabricInfoV(nvmlDevice_t device, nvmlGpuFabricInfoV_t *info) {
    DEVICE_CALL(device);
    long long clique, state, health, status = 0, mask = 0;
    const char *uuid = device_value(device, "fabric.uuid");
    if (info->version != nvmlGpuFabricInfo_v3)
        return leave(device->of, NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
    if (uuid == NULL || take(device, "fabric.clique", &clique) || take(device, "fabric.state", &state) ||
        take(device, "fabric.health", &health))
        return leave(device->of, NVML_ERROR_NOT_SUPPORTED);
    for (int byte = 0; byte < NVML_GPU_FABRIC_UUID_LEN; byte++)
        sscanf(uuid + 2 * byte, "%2hhx", &info->clusterUuid[byte]);
    take(device, "fabric.status", &status);
    take(device, "fabric.mask", &mask);
    info->status = (nvmlReturn_t)status;
    info->healthMask = (unsigned int)mask;
    info->cliqueId = (unsigned int)clique;
    info->state = (nvmlGpuFabricState_t)state;
    info->healthSummary = (unsigned char)health;
    return leave(device->of, NVML_SUCCESS);
}

/* Of all fields, what the driver wants done about the device. */
nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t device, int count, nvmlFieldValue_t *values) {
    DEVICE_CALL(device);
    for (int i = 0; i < count; i++) {
        long long action = 0;
        values[i].nvmlReturn = NVML_ERROR_NOT_SUPPORTED;
        if (values[i].fieldId == NVML_FI_DEV_GET_GPU_RECOVERY_ACTION)
            values[i].nvmlReturn = take(device, "recovery", &action);
        values[i].valueType = NVML_VALUE_TYPE_UNSIGNED_INT;
        values[i].value.uiVal = (unsigned int)action;
    }
    return leave(device->of, NVML_SUCCESS);
}

/* All processes of a device, or those of one MIG instance. */
static nvmlReturn_t processes(nvmlDevice_t device, const char *kind, unsigned int *count, nvmlProcessInfo_t *infos) {
    long long total = 0, gpu_instance = -1;
    unsigned int found = 0, room = infos ? *count : 0;
    char name[KEY_MAX];
    nvmlDevice_t parent = &device->of->devices[device->index][0];
    if (device->instance != NO_INSTANCE)
        take(device, "gi", &gpu_instance);
    take(parent, kind, &total);
    for (long long p = 0; p < total; p++) {
        long long pid = 0, bytes = 0, instance = -1;
        snprintf(name, sizeof(name), "%s%lld.pid", kind, p);
        take(parent, name, &pid);
        snprintf(name, sizeof(name), "%s%lld.bytes", kind, p);
        take(parent, name, &bytes);
        snprintf(name, sizeof(name), "%s%lld.gi", kind, p);
        take(parent, name, &instance);
        if (gpu_instance >= 0 && instance != gpu_instance)
            continue;
        if (found < room)
            infos[found] = (nvmlProcessInfo_t){.pid = (unsigned int)pid,
                                               .usedGpuMemory = (unsigned long long)bytes,
                                               .gpuInstanceId = (unsigned int)instance,
                                               .computeInstanceId = (unsigned int)instance};
        found++;
    }
    *count = found;
    return leave(device->of, found > room ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS);
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int *count,
                                                     nvmlProcessInfo_t *infos) {
    DEVICE_CALL(device);
    return processes(device, "process", count, infos);
}

nvmlReturn_t nvmlDeviceGetMPSComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int *count,
                                                        nvmlProcessInfo_t *infos) {
    DEVICE_CALL(device);
    return processes(device, "mps", count, infos);
}

nvmlReturn_t nvmlDeviceGetSupportedEventTypes(nvmlDevice_t device, unsigned long long *types) {
    DEVICE_CALL(device);
    long long value = 0;
    nvmlReturn_t code = take(device, "events.supported", &value);
    *types = (unsigned long long)value;
    return leave(device->of, code);
}

nvmlReturn_t nvmlEventSetCreate(nvmlEventSet_t *set) {
    NODE_CALL(n);
    nvmlEventSet_t made = calloc(1, sizeof(*made));
    made->of = n;
    made->next = (long)number_of(n, "events", 0);
    *set = made;
    return leave(n, NVML_SUCCESS);
}

nvmlReturn_t nvmlEventSetFree(nvmlEventSet_t set) {
    free(set);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceRegisterEvents(nvmlDevice_t device, unsigned long long types, nvmlEventSet_t set) {
    DEVICE_CALL(device);
    set->mask[device->index] |= types;
    return leave(device->of, NVML_SUCCESS);
}

/* The next event that somebody registered for, skipping others. */
static int next_event(nvmlEventSet_t set, nvmlEventData_t *data) {
    node *n = set->of;
    char key[KEY_MAX];
    while (set->next < number_of(n, "events", 0)) {
        long event = set->next++;
        snprintf(key, sizeof(key), "event%ld.device", event);
        long long index = number_of(n, key, -1);
        snprintf(key, sizeof(key), "event%ld.type", event);
        unsigned long long type = (unsigned long long)number_of(n, key, nvmlEventTypeXidCriticalError);
        if (index < 0 || index >= DEVICES_MAX || !(set->mask[index] & type))
            continue;
        snprintf(key, sizeof(key), "event%ld.data", event);
        data->device = &n->devices[index][0];
        data->eventType = type;
        data->eventData = (unsigned long long)number_of(n, key, 0);
        snprintf(key, sizeof(key), "event%ld.gi", event);
        data->gpuInstanceId = (unsigned int)number_of(n, key, 0xFFFFFFFF);
        data->computeInstanceId = 0xFFFFFFFF;
        return 1;
    }
    return 0;
}

nvmlReturn_t nvmlEventSetWait_v2(nvmlEventSet_t set, nvmlEventData_t *data, unsigned int timeout_ms) {
    node *n = set->of;
    long long left_ns = (long long)timeout_ms * 1000000;
    nvmlReturn_t code = enter(n, -1, __func__);
    while (code == NVML_SUCCESS && !next_event(set, data)) {
        if (left_ns <= 0)
            code = NVML_ERROR_TIMEOUT;
        else if (!number_of(n, "driver.loaded", 0) || n->generation != number_of(n, "driver.generation", 0))
            code = NVML_ERROR_UNINITIALIZED;
        else
            wait_a_little(n);
        left_ns -= POLL_NS;
    }
    return leave(n, code);
}
