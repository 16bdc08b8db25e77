#!/bin/bash
# Prolog of a Slurm compute node: keeps jobs off a node whose GPUs or driver are broken.
#
# When a Prolog ends with anything but 0, Slurm drains the node and puts the job back, held. A fault
# of the doctor, or of a folder that all nodes share, would so take the whole cluster out of service.
# Therefore:
# - only errors of the family gpu count, in an environment of the node's own that holds the doctor
#   alone, and never the job's: a Prolog runs as root;
# - only a finished report with errors drains. A doctor that is missing, that does not end in time
#   or that fails lets the job start, and leaves a line in the log;
# - no command of Slurm is called: Slurm's guide advises against that in a Prolog.
#
# slurm.conf: Prolog=/etc/slurm/prolog.d/mtcnn-doctor.sh
set -u
export PATH=/usr/local/bin:/usr/bin:/bin # a Prolog is given none
doctor=${MTCNN_DOCTOR:-/usr/local/lib/mtcnn-doctor/bin/mtcnn-doctor}
log=${MTCNN_DOCTOR_LOG:-/var/log/mtcnn-doctor-prolog.log}
limit=${MTCNN_DOCTOR_LIMIT:-60} # seconds; the job waits as long

cd / || exit 0
{ : >>"$log"; } 2>/dev/null || log=/dev/null

say() {
    printf '%s job %s: %s\n' "$(date '+%Y-%m-%dT%H:%M:%S')" "${SLURM_JOB_ID:-?}" "$1" >>"$log"
}

folder=$(mktemp -d) || {
    say "there is no folder for temporary files; the job starts"
    exit 0
}
trap 'rm -rf "$folder"' EXIT
report=$folder/report.txt

options=(--level 1 --select gpu --quiet --no-color --no-history --timeout 20 --output "$report")
# A job that was given GPUs expects to find one.
[ -n "${SLURM_JOB_GPUS:-}" ] && options+=(--expect-gpu)

timeout --kill-after=5 "$limit" "$doctor" check "${options[@]}" </dev/null >>"$log" 2>&1
code=$?
[ "$code" -eq 0 ] && exit 0
# A Python that cannot start ends with 1 as well, and writes no report.
if [ "$code" -eq 1 ] && [ -s "$report" ]; then
    cat "$report" >>"$log"
    say "the node is drained for the errors above"
    exit 1
fi
case $code in
    124 | 137) say "mtcnn-doctor did not end in $limit s; the job starts" ;;
    *) say "mtcnn-doctor could not look (exit code $code); the job starts" ;;
esac
exit 0
