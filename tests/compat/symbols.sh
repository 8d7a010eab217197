#!/usr/bin/env bash
# Our libcpg.so.4 exports the same functions as the stock one, under the version node that programs need, and nothing else.
# Usage: symbols.sh LIBRARY
set -euo pipefail
ours=$1
stock=$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p | awk '$1 == "libcpg.so.4" && !seen++ {print $NF}')
[ -n "$stock" ] || { echo "symbols.sh: no stock libcpg.so.4 here" >&2; exit 77; }
names() { objdump -T "$1" | awk '/ DF \.text/ {print $NF}' | sort; }
diff <(names "$stock") <(names "$ours") || { echo "stock on the left, ours on the right" >&2; exit 1; }
[ "$(objdump -T "$ours" | grep -c 'COROSYNC_CPG_1.0 *cpg_')" = "$(names "$stock" | wc -l)" ]
objdump -p "$ours" | grep 'SONAME *libcpg.so.4$' >/dev/null
echo "$(names "$ours" | wc -l) functions, as in $stock"
