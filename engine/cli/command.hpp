// Shared by all subcommands of cpgring: exit codes, common options, and error output.
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

/// Exit codes of the command; documented in --help.
enum class outcome : int {
  done = 0,    ///< did what was asked, and all checks held
  failed = 1,  ///< ran, but messages were lost or wrong, or a standard stream failed
  usage = 2,   ///< an invalid option or argument
  no_service =
      3,  ///< could not run: no service, a limit of this machine, or a file that can't be read or written
};

/// The action of a subcommand. Each declare function adds the options of its subcommand to `app`; parsing
/// then stores the action in `run`.
using runner = std::function<outcome()>;
void declare_load(CLI::App& app, runner& run);
void declare_listen(CLI::App& app, runner& run);
void declare_send(CLI::App& app, runner& run);
void declare_groups(CLI::App& app, runner& run);
void declare_serve(CLI::App& app, runner& run);
void declare_probe(CLI::App& app, runner& run);
void declare_dump(CLI::App& app, runner& run);
/// False: the subcommand does not exist here.
bool declare_bench(CLI::App& app, runner& run);

/// Connection options shared by listen, send and groups.
struct connection_options {
  std::string service = "cpg";
  std::uint32_t ring_bytes = std::uint32_t{1} << 20;
  std::uint32_t deadline_ms = 10000;
  std::optional<std::uint32_t> service_uid;

  void declare(CLI::App& app);
  [[nodiscard]] handle_options for_handle() const;
};

/// Declares --service-uid.
void declare_service_uid(CLI::App& app, std::optional<std::uint32_t>& into);
/// Declares GROUP, for listen and send.
void declare_group(CLI::App& app, std::string& into);
/// Declares an option whose value is one of the names in `choices`.
template <class Value>
void declare_choice(CLI::App& app, const std::string& flag, Value& into,
                    const std::map<std::string, Value>& choices, const std::string& text) {
  std::vector<std::string> names;
  for (const auto& choice : choices) {
    names.push_back(choice.first);
  }
  app.add_option_function<std::string>(
         flag, [&into, choices](const std::string& name) { into = choices.at(name); }, text)
      ->check(CLI::IsMember(names));
}

/// Declares the options of the engine: wake-up backend and idle strategy.
void declare_engine(CLI::App& app, engine_options& into);
/// Declares -v/--verbose: the library's log on stderr, from level info on; twice: from level debug on.
void declare_verbosity(CLI::App& app, int& verbosity);
/// Without --verbose: lines from level `usual` on. Commands that report their errors themselves pass none, so
/// that no error is reported twice.
log_callback log_to_stderr(int verbosity, std::optional<log_level> usual = std::nullopt);

/// Writes `text` unchanged to stderr. Blocks while stderr is a full pipe; ignores failures.
void print_error(std::string_view text) noexcept;
/// Writes "cpgring: TEXT" and a newline to stderr.
void complain(std::string_view text);
outcome complain(const error& e);

/// Raises this process's limit of descriptors to its hard limit. Returns the limit; 0: unknown.
std::size_t raise_descriptor_limit();

}  // namespace cpgring::cli
