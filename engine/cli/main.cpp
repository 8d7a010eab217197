// The command cpgring. Each subcommand has a file of its own. All of them use the public API only, except
// `dump`, which also decodes rings with the inspect layer.
#include <signal.h>

#include <exception>
#include <sstream>
#include <string>

#include <fmt/format.h>

#include "cli/command.hpp"
#include "cli/descriptors.hpp"
#include "cli/output.hpp"

namespace {

using namespace cpgring::cli;

extern "C" void ignore_signal(int) {}

/// A missing reader becomes an error of write(), so that the program ends in order. Not SIG_IGN, which a
/// program that `bench` runs would inherit.
void survive_broken_pipes() {
  if (::signal(SIGPIPE, ignore_signal) == SIG_IGN) {
    ::signal(SIGPIPE, SIG_IGN);
  }
}

outcome run_command(int argc, char** argv) {
  CLI::App app{
      "Closed process groups (CPG) of a corosync cluster from the command line, and a workload that checks "
      "what it measures."};
  app.name("cpgring");
  app.set_version_flag("--version", "cpgring " CPGRING_VERSION);
  app.require_subcommand(1);

  runner run;
  declare_load(app, run);
  declare_listen(app, run);
  declare_send(app, run);
  declare_groups(app, run);
  declare_serve(app, run);
  declare_probe(app, run);
  declare_dump(app, run);
  const bool bench = declare_bench(app, run);
  app.footer(
      "Try:\n"
      "  cpgring load                       1000 handles, each in a group of its own, no daemon needed\n"
      "  cpgring load --service cpg         the same against corosync (as root)\n"
      "  cpgring serve                      an embedded CPG service; with --name cpg for libcpg programs\n"
      "  cpgring listen chat                print the messages of the group 'chat', one per line\n"
      "  echo hello | cpgring send chat     multicast each line of standard input\n"
      "  cpgring groups                     list the members of all groups\n"
      "  cpgring probe                      what this machine offers, and how to get more\n"
      "  cpgring dump /dev/shm/qb-*         the rings of connections: what waits in them\n" +
      std::string(bench ? "  cpgring bench pingpong             measure against stock libcpg; scripts/bench "
                          "runs all suites\n"
                        : "") +
      "\nExit codes: 0 done; 1 something was lost or wrong, or standard input or output failed; 2 usage; 3 "
      "no service or a limit of this "
      "machine");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    std::ostringstream out, err;
    const int code = app.exit(e, out, err);
    standard_output().write(out.str());
    print_error(err.str());
    return code == 0 ? outcome::done : outcome::usage;
  }
  try {
    return run();
  } catch (const std::exception& e) {
    complain(e.what());
    return outcome::no_service;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (!open_missing_descriptors()) {
    complain("can't open /dev/null in place of a closed standard stream");
    return static_cast<int>(outcome::no_service);
  }
  survive_broken_pipes();
  auto how = run_command(argc, argv);
  auto& out = standard_output();
  if (out.failure() == 0) {
    out.close();
  }
  if (out.failure() != 0) {
    complain(fmt::format("standard output: {}", stream_failure_text(out.failure())));
    how = how == outcome::done ? outcome::failed : how;
  }
  return static_cast<int>(how);
}
