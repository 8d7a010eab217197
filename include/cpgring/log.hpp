// Logging: cpgring prints nothing; it hands lines to a callback that the user sets. Silent by default.
#pragma once

#include <functional>
#include <string_view>

namespace cpgring {

enum class log_level { debug, info, warning, error };

/// Name of a level in lower case.
std::string_view to_string(log_level level) noexcept;

/// Called for each line, without a newline at its end. May be called from any thread that runs engine or service code, never from
/// two of them for one engine at once unless that engine has several threads; must not call back into the engine. The text is valid
/// only during the call. An empty function means silence.
using log_callback = std::function<void(log_level level, std::string_view text)>;

}  // namespace cpgring
