{{- define "stowplan.labels" -}}
app.kubernetes.io/name: stowplan
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "stowplan.image" -}}
{{- $image := .root.Values.image -}}
{{- $name := printf "%s-%s" $image.repository .target -}}
{{- $digest := index $image.digests .target -}}
{{- if $digest -}}{{ $name }}@{{ $digest }}
{{- else -}}{{ $name }}:{{ $image.tag | default .root.Chart.AppVersion }}{{- end -}}
{{- end }}

{{- /* What a container may do: nothing but compute and talk. */ -}}
{{- define "stowplan.confined" -}}
{{ include "stowplan.harmless" . }}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
{{- end }}

{{- /* The same as root without its capabilities, for files that are root's. */ -}}
{{- define "stowplan.confinedRoot" -}}
{{ include "stowplan.harmless" . }}
runAsUser: 0
runAsGroup: 0
{{- end }}

{{- define "stowplan.harmless" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
readOnlyRootFilesystem: true
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- /*
The plain manifests beside the chart, which `kubectl apply` installs as well, are its one source: each object
but the Namespace, in the release's namespace, with the chart's labels. The rights to cordon and to
ask autoscalers come with the configuration that needs them.
*/ -}}
{{- define "stowplan.plain" -}}
{{- $root := . -}}
{{- $cordons := dig "policy" "cordon" "enabled" false .Values.scheduler.config }}
{{- $cordon := ternary ",optional/cordon" "" $cordons }}
{{- $provisioning := ternary ",optional/provisioning" "" (kindIs "map" (get .Values.scheduler.config "provisioning")) }}
{{- range $path, $_ := .Files.Glob (printf "files/{rbac/*,admission/*%s%s}.yaml" $cordon $provisioning) }}
{{- $ours := printf "schedulerName != '%s'" (dig "schedulerName" "stowplan" $root.Values.scheduler.config) }}
{{- range $text := regexSplit "(?m)^---$" ($root.Files.Get $path) -1 }}
{{- $object := replace "stowplan-system" $root.Release.Namespace $text | replace "schedulerName != 'stowplan'" $ours | fromYaml }}
{{- if ne $object.kind "Namespace" }}
{{- if eq (dig "metadata" "annotations" "stowplan.dev/chart-value" "" $object) "admission.otherSchedulers" }}
{{- $subjects := list }}
{{- range $root.Values.admission.otherSchedulers }}
{{- $subjects = append $subjects (dict "apiGroup" "rbac.authorization.k8s.io" "kind" "User" "name" .) }}
{{- end }}
{{- $_ := set $object "subjects" $subjects }}
{{- end }}
{{- $labels := include "stowplan.labels" $root | fromYaml }}
{{- $_ := set $object.metadata "labels" (merge $labels (dig "metadata" "labels" dict $object)) }}
---
{{ toYaml $object }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
