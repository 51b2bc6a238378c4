#!/bin/sh
# Start the job script that Snakemake wrote, and say its process id.
sh "$1" >/dev/null 2>&1 &
echo $!
