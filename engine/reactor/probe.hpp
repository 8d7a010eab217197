// Finds out which wake-up backends work on this machine, and chooses one.
#pragma once

#include <memory>

#include <cpgring/engine.hpp>
#include <cpgring/log.hpp>

#include "reactor/wake_backend.hpp"

namespace cpgring::reactor {

/// Tries the backends from the best to the plainest, or only the forced one. Logs what was found, what was
/// chosen, and what to change for a better backend.
result<std::unique_ptr<wake_backend>> choose_backend(wakeup wanted, std::uint32_t expected_sources,
                                                     const log_callback& log);

probe_report probe();

}  // namespace cpgring::reactor
