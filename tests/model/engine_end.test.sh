# Every accepted request of another thread is taken at the engine's end, and no thread uses a destroyed reactor.
. "$(dirname "$0")/check.sh"
holds "as it is" engine_end.pml
fails "a visitor that checks before it is counted" engine_end.pml -DLATE_COUNT
fails "a visitor that leaves the count before it has pushed" engine_end.pml -DEARLY_LEAVE
fails "the stores of the end visible late" engine_end.pml -DRELAXED_END
fails "no wait for visitors" engine_end.pml -DNO_WAIT
fails "requests taken before all visitors have left" engine_end.pml -DTAKEN_BEFORE
