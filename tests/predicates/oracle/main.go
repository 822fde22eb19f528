// Command oracle says what kube-scheduler's own plugins decide on the cases of tests/predicates/generate.py.
//
// It reads one JSON case a line and writes one line each: a digit per node, 1 where the newcomer may go
// (capacity aside), then what the newcomer requests. Objects pass through the API server's defaults and
// validation first; a case that the API server would refuse is an error of the generator. To record anew:
//
//	python -m tests.predicates.generate --seed 2026 --count 1200 > cases.jsonl
//	cd deploy/local/controlplane && go run ../../../tests/predicates/oracle/main.go < cases.jsonl
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"sort"
	"strings"

	v1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/component-helpers/resource"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	corev1 "k8s.io/kubernetes/pkg/apis/core/v1"
	podregistry "k8s.io/kubernetes/pkg/registry/core/pod"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/defaultbinder"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/feature"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/interpodaffinity"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodeaffinity"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodeports"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodeunschedulable"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/podtopologyspread"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/queuesort"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/tainttoleration"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/volumebinding"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/volumezone"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	"k8s.io/kubernetes/pkg/scheduler/metrics"
	testingframework "k8s.io/kubernetes/pkg/scheduler/testing/framework"
)

type testCase struct {
	Nodes      []*v1.Node                  `json:"nodes"`
	Placed     []*v1.Pod                   `json:"placed"`
	Pod        *v1.Pod                     `json:"pod"`
	Namespaces []*v1.Namespace             `json:"namespaces"`
	Claims     []*v1.PersistentVolumeClaim `json:"claims"`
	Volumes    []*v1.PersistentVolume      `json:"volumes"`
	Classes    []*storagev1.StorageClass   `json:"classes"`
}

type newPlugin func(context.Context, runtime.Object, fwk.Handle, feature.Features) (fwk.Plugin, error)

// Those of the default feature gates that change what the plugins filter.
var features = feature.Features{
	EnableNodeInclusionPolicyInPodTopologySpread: true,
	EnableMatchLabelKeysInPodTopologySpread:      true,
}

func main() {
	metrics.Register()
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 1<<20), 1<<26)
	for lines.Scan() {
		var c testCase
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			log.Fatal(err)
		}
		pod := admitted(c.Pod)
		fmt.Println(strings.Join(append([]string{verdicts(c, pod)}, requests(pod)...), " "))
	}
}

// admitted is the pod as the API server would store it.
func admitted(pod *v1.Pod) *v1.Pod {
	pod = pod.DeepCopy()
	for i := range pod.Spec.Containers {
		pod.Spec.Containers[i].Image = "image"
	}
	for i := range pod.Spec.InitContainers {
		pod.Spec.InitContainers[i].Image = "image"
	}
	corev1.SetObjectDefaults_Pod(pod)
	internal, stored := &core.Pod{}, &v1.Pod{}
	if err := legacyscheme.Scheme.Convert(pod, internal, nil); err != nil {
		log.Fatal(err)
	}
	ctx := request.WithNamespace(context.Background(), pod.Namespace)
	podregistry.Strategy.PrepareForCreate(ctx, internal)
	if errs := podregistry.Strategy.Validate(ctx, internal); len(errs) > 0 {
		log.Fatalf("the API server refuses pod %s: %v", pod.Name, errs.ToAggregate())
	}
	if err := legacyscheme.Scheme.Convert(internal, stored, nil); err != nil {
		log.Fatal(err)
	}
	return stored
}

func requests(pod *v1.Pod) []string {
	total := framework.Resource{}
	total.Add(resource.PodRequests(pod, resource.PodResourcesOptions{}))
	amounts := map[string]int64{
		"cpu": total.MilliCPU, "memory": total.Memory, "ephemeral-storage": total.EphemeralStorage,
	}
	for name, amount := range total.ScalarResources {
		amounts[string(name)] = amount
	}
	var told []string
	for name, amount := range amounts {
		if amount != 0 {
			told = append(told, fmt.Sprintf("%s=%d", name, amount))
		}
	}
	sort.Strings(told)
	return told
}

func verdicts(c testCase, pod *v1.Pod) string {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var placed []*v1.Pod
	for _, p := range c.Placed {
		placed = append(placed, admitted(p))
	}
	snapshot := cache.NewSnapshot(placed, c.Nodes)
	fw := newFramework(ctx, snapshot, objects(c))
	state := framework.NewCycleState()
	only, status, _ := fw.RunPreFilterPlugins(ctx, state, pod)
	told := ""
	for _, node := range c.Nodes {
		info, err := snapshot.NodeInfos().Get(node.Name)
		if err != nil {
			log.Fatal(err)
		}
		switch {
		case !status.IsSuccess(), !only.AllNodes() && !only.NodeNames.Has(node.Name):
			told += "0"
		case fw.RunFilterPlugins(ctx, state, pod, info).IsSuccess():
			told += "1"
		default:
			told += "0"
		}
	}
	return told
}

func objects(c testCase) []runtime.Object {
	var found []runtime.Object
	for _, o := range c.Nodes {
		found = append(found, o)
	}
	for _, o := range c.Namespaces {
		found = append(found, o)
	}
	for _, o := range c.Claims {
		found = append(found, o)
	}
	for _, o := range c.Volumes {
		found = append(found, o)
	}
	for _, o := range c.Classes {
		found = append(found, o)
	}
	return found
}

func newFramework(ctx context.Context, snapshot fwk.SharedLister, known []runtime.Object) framework.Framework {
	client := fake.NewClientset(known...)
	factory := informers.NewSharedInformerFactory(client, 0)
	fw, err := testingframework.NewFramework(
		ctx,
		[]testingframework.RegisterPluginFunc{
			testingframework.RegisterQueueSortPlugin(queuesort.Name, queuesort.New),
			testingframework.RegisterBindPlugin(defaultbinder.Name, defaultbinder.New),
			filter(nodeunschedulable.Name, nodeunschedulable.New, nil),
			filter(tainttoleration.Name, tainttoleration.New, nil),
			filter(nodeaffinity.Name, nodeaffinity.New, &config.NodeAffinityArgs{}),
			filter(nodeports.Name, nodeports.New, nil),
			filter(volumebinding.Name, volumebinding.New, &config.VolumeBindingArgs{BindTimeoutSeconds: 600}),
			filter(volumezone.Name, volumezone.New, nil),
			filter(podtopologyspread.Name, podtopologyspread.New,
				&config.PodTopologySpreadArgs{DefaultingType: config.ListDefaulting}),
			filter(interpodaffinity.Name, interpodaffinity.New, &config.InterPodAffinityArgs{HardPodAffinityWeight: 1}),
		},
		"oracle",
		frameworkruntime.WithSnapshotSharedLister(snapshot),
		frameworkruntime.WithInformerFactory(factory),
		frameworkruntime.WithClientSet(client),
	)
	if err != nil {
		log.Fatal(err)
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	return fw
}

func filter(name string, create newPlugin, args runtime.Object) testingframework.RegisterPluginFunc {
	factory := func(ctx context.Context, _ runtime.Object, handle fwk.Handle) (fwk.Plugin, error) {
		return create(ctx, args, handle, features)
	}
	return testingframework.RegisterPluginAsExtensions(name, factory, "PreFilter", "Filter")
}
