// Logging: cpgring prints nothing. It passes lines to a callback that the user sets; without one it is
// silent.
#pragma once

#if __cplusplus < 202002L
#error "cpgring needs C++20: compile with -std=c++20"
#else

#include <functional>
#include <string_view>

namespace cpgring {

enum class log_level { debug, info, warning, error };

/// Name of a level in lower case.
std::string_view to_string(log_level level) noexcept;

/// Called for each line, without a newline at its end; `text` is valid during the call only. Called on
/// threads that run the engine or the service and on those that call open() or shut_down(), possibly on
/// several of them at the same time. Must not call back into the engine. An empty function means silence.
using log_callback = std::function<void(log_level level, std::string_view text)>;

}  // namespace cpgring

#endif
