// cpgring bench: runs cpgring-bench with its own arguments. That program lies beside this one where the
// benchmarks were built; elsewhere, as in an installation, the subcommand does not exist. It is a separate
// program because it needs the libraries of its peers, which the command itself must not need.
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

/// Empty: there is no such program.
std::filesystem::path bench_program() {
  std::error_code failed;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", failed);
  auto program = self.parent_path() / "cpgring-bench";
  return !failed && ::access(program.c_str(), X_OK) == 0 ? program : std::filesystem::path();
}

outcome run_bench(const std::filesystem::path& program, std::vector<std::string> words) {
  words.insert(words.begin(), program.string());
  std::vector<char*> raw;
  for (auto& word : words) {
    raw.push_back(word.data());
  }
  raw.push_back(nullptr);
  ::execv(program.c_str(), raw.data());
  complain(fmt::format("bench: can't run {}: {}", program.string(), std::strerror(errno)));
  return outcome::no_service;
}

}  // namespace

bool declare_bench(CLI::App& app, runner& run) {
  const auto program = bench_program();
  if (program.empty()) {
    return false;
  }
  auto* command = app.add_subcommand(
      "bench", "measure against stock libcpg and other peers; 'cpgring bench --help' lists the suites");
  command->set_help_flag();
  command->prefix_command();
  command->callback([&run, command, program] {
    run = [words = command->remaining(), program] { return run_bench(program, words); };
  });
  return true;
}

}  // namespace cpgring::cli
