// cpgring: the command. Each subcommand stands in a file of its own and uses the public API alone.
#include <exception>

#include <fmt/format.h>

#include "cli/command.hpp"

int main(int argc, char** argv) {
  using namespace cpgring::cli;
  CLI::App app{"Closed process groups (CPG) of a corosync cluster from the command line, and a workload that checks what it measures."};
  app.name("cpgring");
  app.set_version_flag("--version", "cpgring " CPGRING_VERSION);
  app.require_subcommand(1);
  app.footer(
      "Try:\n"
      "  cpgring load                       1000 handles, each in a group of its own, no daemon needed\n"
      "  cpgring load --service cpg         the same against corosync (as root)\n"
      "  cpgring serve                      an embedded CPG service; --name cpg lets libcpg programs in\n"
      "  cpgring listen chat                print what is multicast in the group 'chat', one message a line\n"
      "  echo hello | cpgring send chat     multicast each line of standard input\n"
      "  cpgring groups                     who is in which group\n"
      "  cpgring probe                      what this machine offers, and how to get more\n"
      "  cpgring bench pingpong             measured against stock libcpg; scripts/bench runs all of it\n\n"
      "Exit codes: 0 done, 1 something was lost or wrong, 2 usage, 3 no service or a limit of this machine");

  runner run;
  declare_load(app, run);
  declare_listen(app, run);
  declare_send(app, run);
  declare_groups(app, run);
  declare_serve(app, run);
  declare_probe(app, run);
  declare_bench(app, run);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? static_cast<int>(outcome::done) : static_cast<int>(outcome::usage);
  }
  try {
    return static_cast<int>(run());
  } catch (const std::exception& e) {
    complain(e.what());
    return static_cast<int>(outcome::no_service);
  }
}
