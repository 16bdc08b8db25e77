#!/bin/bash
# Metrics of a check for node_exporter's textfile collector, by cron or a systemd timer:
#     node-exporter.sh [INTERPRETER]
#
# Where the doctor made no report, this ends with its exit code and the former file stays: watch the
# age of mtcnn_doctor_report_timestamp_seconds.
set -u
umask 022 # node_exporter is another user
doctor=${MTCNN_DOCTOR:-mtcnn-doctor}
folder=${TEXTFILE_FOLDER:-/var/lib/node_exporter/textfile_collector}
limit=${MTCNN_DOCTOR_LIMIT:-600} # seconds

# node_exporter reads every name that ends in .prom, and must not read half a file.
new=$folder/mtcnn_doctor.prom.$$
trap 'rm -f "$new"' EXIT
options=(--quiet --no-history --format prometheus --output "$new")
[ $# -gt 0 ] && options+=("--python=$1")

timeout --kill-after=10 "$limit" "$doctor" check "${options[@]}" </dev/null
code=$?
# Errors that were found are in the metrics, and no failure of this script. A Python that cannot
# start ends with 1 as well, and writes none.
if [ -s "$new" ] && [ "$code" -le 1 ]; then
    mv -f "$new" "$folder/mtcnn_doctor.prom"
    exit
fi
echo "mtcnn-doctor made no metrics (exit code $code)" >&2
[ "$code" -ne 0 ] || code=1
exit "$code"
