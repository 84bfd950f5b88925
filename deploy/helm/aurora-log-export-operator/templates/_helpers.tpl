{{- define "operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 40 characters, so that the suffixes of roles and of Pods fit. */}}
{{- define "operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "operator.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "operator.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "operator.labels" -}}
{{ include "operator.selectorLabels" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: aurora-log-export
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "operator.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The port in operator.httpAddr. */}}
{{- define "operator.port" -}}
{{- regexFind "[0-9]+$" .Values.operator.httpAddr -}}
{{- end -}}

{{/* One flag, if its value is set. Booleans may be false, so "set" is not "true". */}}
{{- define "operator.flag" -}}
{{- $value := index . 1 -}}
{{- /* Numbers in a values file are floats, which are printed as 1e+06. */ -}}
{{- if and (kindIs "float64" $value) (eq (toString (floor $value)) (toString $value)) -}}
{{- $value = int64 $value -}}
{{- end -}}
{{- if not (or (kindIs "invalid" $value) (eq (toString $value) "")) }}
- {{ printf "--%s=%v" (index . 0) $value | quote }}
{{- end -}}
{{- end -}}

{{- define "operator.args" -}}
- run
{{- with .Values.operator }}
{{- include "operator.flag" (list "http-addr" .httpAddr) }}
{{- include "operator.flag" (list "leader-elect" .leaderElect) }}
{{- include "operator.flag" (list "log-format" .logFormat) }}
{{- include "operator.flag" (list "log-filter" .logFilter) }}
{{- include "operator.flag" (list "otlp-endpoint" .otlpEndpoint) }}
{{- include "operator.flag" (list "cluster-name" $.Values.clusterName) }}
{{- include "operator.flag" (list "cluster-uid" .clusterUid) }}
{{- range .previousClusterUid }}
{{- include "operator.flag" (list "previous-cluster-uid" .) }}
{{- end }}
{{- include "operator.flag" (list "account-id" .accountId) }}
{{- include "operator.flag" (list "iam-path" .iamPath) }}
{{- range .watchNamespace }}
{{- include "operator.flag" (list "watch-namespace" .) }}
{{- end }}
{{- include "operator.flag" (list "drift-check-interval" .driftCheckInterval) }}
{{- include "operator.flag" (list "drift-scan" .driftScan) }}
{{- include "operator.flag" (list "iam-reads-per-second" .iamReadsPerSecond) }}
{{- include "operator.flag" (list "iam-writes-per-second" .iamWritesPerSecond) }}
{{- include "operator.flag" (list "concurrency" .concurrency) }}
{{- include "operator.flag" (list "default-deletion-policy" .defaultDeletionPolicy) }}
{{- include "operator.flag" (list "allow-full-access" .allowFullAccess) }}
{{- include "operator.flag" (list "allow-adopt-existing" .allowAdoptExisting) }}
{{- include "operator.flag" (list "require-account-ref" .requireAccountRef) }}
{{- include "operator.flag" (list "enable-outputs" .enableOutputs) }}
{{- range .extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}
{{- end -}}
