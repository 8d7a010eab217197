// What every subcommand of cpgring shares: exit codes, options that several take, how an error is told.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>
#include <cpgring/cpgring.hpp>

namespace cpgring::cli {

/// What the command exits with; documented in --help.
enum class outcome : int {
  done = 0,       ///< did what was asked, and all checks held
  failed = 1,     ///< ran, but not everything arrived, or arrived wrong; or a standard stream could not be read or written
  usage = 2,      ///< an option or argument that makes no sense
  no_service = 3  ///< could not run: service absent or lost, limits of this machine, a file that can't be written
};

/// One subcommand: declares its options below `app` and leaves in `run` what is to be done once they are parsed.
using runner = std::function<outcome()>;
void declare_load(CLI::App& app, runner& run);
void declare_listen(CLI::App& app, runner& run);
void declare_send(CLI::App& app, runner& run);
void declare_groups(CLI::App& app, runner& run);
void declare_serve(CLI::App& app, runner& run);
void declare_probe(CLI::App& app, runner& run);
/// False: it is not offered here.
bool declare_bench(CLI::App& app, runner& run);

/// Options of the connection that listen, send and groups have in common.
struct connection_options {
  std::string service = "cpg";
  std::uint32_t max_message_size = std::uint32_t{1} << 20;
  std::uint32_t deadline_ms = 10000;
  std::optional<std::uint32_t> service_uid;

  void declare(CLI::App& app);
  [[nodiscard]] handle_options for_handle() const;
};

/// --service-uid.
void declare_service_uid(CLI::App& app, std::optional<std::uint32_t>& into);
/// The group of listen and send.
void declare_group(CLI::App& app, std::string& into);
/// An option that takes one of the names in `choices`.
template <class Value>
void declare_choice(CLI::App& app, const std::string& flag, Value& into, const std::map<std::string, Value>& choices,
                    const std::string& text) {
  std::vector<std::string> names;
  for (const auto& choice : choices) {
    names.push_back(choice.first);
  }
  app.add_option_function<std::string>(
         flag, [&into, choices](const std::string& name) { into = choices.at(name); }, text)
      ->check(CLI::IsMember(names));
}

/// Options of the engine: how it waits, how it idles.
void declare_engine(CLI::App& app, engine_options& into);
/// Adds -v/--verbose: the library's log on stderr from info on, twice: from debug on.
void declare_verbosity(CLI::App& app, int& verbosity);
/// Without --verbose lines from `usual` on. Commands that tell their errors themselves want none then: each would be told twice.
log_callback log_to_stderr(int verbosity, std::optional<log_level> usual = std::nullopt);

/// On stderr as it is. Waits where that is a pipe that is full. A stderr that takes nothing ends nothing.
void print_error(std::string_view text) noexcept;
/// "cpgring: TEXT" on stderr.
void complain(std::string_view text);
outcome complain(const error& e);

/// Lets this process have as many descriptors as its hard limit allows; returns how many that are.
std::size_t raise_descriptor_limit();

}  // namespace cpgring::cli
