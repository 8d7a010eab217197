// What this machine can do, and which backend is taken therefore.
#pragma once

#include <memory>

#include <cpgring/engine.hpp>
#include <cpgring/log.hpp>

#include "reactor/wake_backend.hpp"

namespace cpgring::reactor {

/// Tries the backends from the best down, or the forced one alone; says through `log` what was found, what was taken and what to change for
/// a better rung.
result<std::unique_ptr<wake_backend>> choose_backend(wakeup wanted, std::uint32_t expected_sources, const log_callback& log);

probe_report probe();

}  // namespace cpgring::reactor
