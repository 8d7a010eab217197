// cpgring bench: hands its arguments to cpgring-bench, which stands beside this program where benchmarks were built. What measures rivals
// needs their libraries; the command itself is to need none.
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include <fmt/format.h>

#include "cli/command.hpp"

namespace cpgring::cli {
namespace {

outcome run_bench(std::vector<std::string> words) {
  std::error_code failed;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", failed);
  const auto program = (failed ? std::filesystem::path() : self.parent_path()) / "cpgring-bench";
  words.insert(words.begin(), program.string());
  std::vector<char*> raw;
  for (auto& word : words) {
    raw.push_back(word.data());
  }
  raw.push_back(nullptr);
  ::execv(program.c_str(), raw.data());
  complain(fmt::format("bench: can't run {}: {}; it is built with -DCPGRING_BENCH=ON, or by scripts/bench", program.string(),
                       std::strerror(errno)));
  return outcome::no_service;
}

}  // namespace

void declare_bench(CLI::App& app, runner& run) {
  auto* command = app.add_subcommand("bench", "measure against stock libcpg and others: 'cpgring bench --help' names the suites");
  command->set_help_flag();
  command->prefix_command();
  command->callback([&run, command] { run = [words = command->remaining()] { return run_bench(words); }; });
}

}  // namespace cpgring::cli
