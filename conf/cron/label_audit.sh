#!/usr/bin/env bash
# An audit every night, from cron:
#
#   30 2 * * *  PREDICTIONS=/lake/predictions OUTPUT=/lake/audits/vision /opt/cl_spark/conf/cron/label_audit.sh
#
# SUBMIT is the command that runs the job: on YARN, "spark-submit --master yarn --py-files /opt/cl_spark/dist/cl_spark.zip"
# (scripts/build_archive.py makes the archive). If MAIL is set, failures are sent to this address. Further arguments go to the
# audit.
set -uo pipefail
home=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
: "${OUTPUT:?set OUTPUT to where the result tables go}"
submit=${SUBMIT:-spark-submit}
logs=${LOGS:-$home/logs}
day=$(date -u +%F)
log=$logs/label_audit-$day.log
mkdir -p "$logs"

# One audit at a time: if a run takes longer than a day, the next one does not start beside it.
exec 9> "$logs/label_audit.lock"
flock --nonblock 9 || { echo "the audit of an earlier night is still running" >&2; exit 1; }

input=()
[ -n "${PREDICTIONS:-}" ] && input=(--predictions "$PREDICTIONS")
# The day names the run: if it is started again, it replaces its own rows.
# shellcheck disable=SC2086
$submit "$home/jobs/audit_labels.py" "${input[@]}" --output "$OUTPUT" --run-id "$day" --json "$@" > "$log" 2>&1
code=$?
case $code in
  0) told="label audit $day: done" ;;
  2) told="label audit $day: the configuration or the input cannot be used" ;;
  3) told="label audit $day: written, but a gate failed" ;;
  4) told="label audit $day: written, but without its report" ;;
  *) told="label audit $day: failed (exit code $code)" ;;
esac
echo "$told; see $log"
if [ "$code" -ne 0 ] && [ -n "${MAIL:-}" ]; then
  mail -s "$told" "$MAIL" < "$log"
fi
exit "$code"
