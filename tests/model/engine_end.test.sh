# What other threads were told is accepted is taken at the engine's end, and none of them touches a reactor that is gone.
. "$(dirname "$0")/check.sh"
holds "as it is" engine_end.pml
fails "a visitor that looks before it is counted" engine_end.pml -DLATE_COUNT
fails "one that is counted off before it has pushed" engine_end.pml -DEARLY_LEAVE
fails "the end's stores seen late" engine_end.pml -DRELAXED_END
fails "nobody waited for" engine_end.pml -DNO_WAIT
fails "requests taken before visitors have gone" engine_end.pml -DTAKEN_BEFORE
