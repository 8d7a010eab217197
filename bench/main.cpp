// cpgring-bench: each suite is a subcommand. `cpgring bench` runs this program.
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <exception>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <cpgring/service.hpp>

#include "cli/descriptors.hpp"
#include "cli/numbers.hpp"
#include "cli/output.hpp"
#include "suites/suite.hpp"
#include "support/results.hpp"

namespace {

using namespace cpgring::bench;
using cpgring::cli::standard_output, cpgring::cli::whole_number, cpgring::cli::byte_count,
    cpgring::cli::real_number;

enum outcome : int { done = 0, failed = 1, usage = 2, could_not_run = 3 };

void complain(std::string_view text) {
  static_cast<void>(cpgring::cli::write_all(STDERR_FILENO, fmt::format("cpgring-bench: {}\n", text)));
}

void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
}

void declare(CLI::App& command, settings& s, bool& strict) {
  command
      .add_option("-s,--service", s.service, "the service that both sides use; libcpg supports only 'cpg'")
      ->capture_default_str();
  command
      .add_option("--service-uid", s.service_uid,
                  "uid that may run the service, in addition to root and this user")
      ->transform(whole_number(0, UINT32_MAX - 1));
  command.add_flag("-q,--quick", s.quick,
                   "fewer cases and repetitions: a first impression, no basis for claims");
  command
      .add_option("-r,--repetitions", s.repetitions,
                  "repetitions of each side of each case; default: as the suite chooses")
      ->transform(whole_number(1, 10000));
  command.add_option("--only", s.only, "run only cases whose names contain this");
  command.add_option("-n,--handles", s.handles, "numbers of handles, separated by commas")
      ->delimiter(',')
      ->transform(whole_number(1, 100000));
  command.add_option("--burst", s.bursts, "numbers of events that wait for each handle, separated by commas")
      ->delimiter(',')
      ->transform(whole_number(1, 4000));
  command.add_option("--size", s.sizes, "message sizes in bytes, separated by commas")
      ->delimiter(',')
      ->transform(byte_count(8, 16 << 20));
  command.add_option("--rate", s.rates, "openloop: messages per second, separated by commas")
      ->delimiter(',')
      ->transform(real_number(1, 1e8));
  command
      .add_option_function<int>(
          "--length-ms", [&s](int ms) { s.length = std::chrono::milliseconds(ms); },
          "openloop, scale: milliseconds of one timed run")
      ->transform(whole_number(1, 3600000));
  command
      .add_option("--out", s.out, "folder for SUITE.json and latency distributions (.hgrm); it must exist")
      ->check(CLI::ExistingDirectory);
  command.add_flag("--strict", strict, "exit with 1 if a ratio misses its target");
}

/// Like `cpgring serve`, for runs without corosync where the command itself is not built.
int serve(const std::string& name) {
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  struct sigaction at_start {};
  if (::sigaction(SIGHUP, nullptr, &at_start) == 0 && at_start.sa_handler != SIG_IGN) {
    sigaddset(&ends, SIGHUP);
  }
  ::pthread_sigmask(SIG_BLOCK, &ends, nullptr);  // in the service's thread too
  cpgring::embedded_service_options o;
  o.name = name;
  const cpgring::embedded_service service(o);
  standard_output().print("serving {}\n", service.name());
  int which = 0;
  ::sigwait(&ends, &which);
  return done;
}

int run(const suite& which, const settings& s, bool strict) {
  raise_descriptor_limit();
  results found(which.name);
  int status = done;
  try {
    which.run(s, found);
  } catch (const std::exception& e) {
    complain(fmt::format("{}: {}", which.name, e.what()));
    found.note_silently(fmt::format("ended early: {}", e.what()));
    status = could_not_run;
  }
  if (!found.rows().empty()) {
    found.print_table();
  } else if (status == done) {
    complain(fmt::format("{}: no case has '{}' in its name", which.name, s.only));
    status = usage;
  }
  if (!s.out.empty()) {
    const auto path = s.out / (std::string(which.name) + ".json");
    std::ofstream file(path);
    file << found.json();
    file.close();
    if (!file) {
      complain(fmt::format("can't write {}", path.string()));
      status = could_not_run;
    }
  }
  if (status == done && strict) {
    for (const row& r : found.rows()) {
      status = r.missed() ? failed : status;
    }
  }
  return status;
}

int run_command(int argc, char** argv) {
  CLI::App app{
      "Measures cpgring against its peers in one run: both sides alternate, medians, CPU time as well as "
      "wall time."};
  app.name("cpgring bench");
  app.require_subcommand(1);
  app.footer(
      "All suites in one report: scripts/bench. With a private corosync: scripts/with-corosync -- cpgring "
      "bench SUITE.\n"
      "Exit codes: 0 done, 1 a ratio misses its target (--strict) or standard output failed, 2 usage, 3 "
      "could not run");
  settings s;
  bool strict = false;
  int status = usage;
  for (const suite& one : suites) {
    auto* command = app.add_subcommand(one.name, one.question);
    declare(*command, s, strict);
    command->callback([&, one] { status = run(one, s, strict); });
  }
  std::string name = "cpg";
  auto* server = app.add_subcommand("serve", "run cpgring's own CPG service, for the suites");
  server->add_option("--name", name, "name of the service")->capture_default_str();
  server->callback([&] { status = serve(name); });
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    std::ostringstream out, err;
    const int code = app.exit(e, out, err);
    standard_output().write(out.str());
    static_cast<void>(cpgring::cli::write_all(STDERR_FILENO, err.str()));
    return code == 0 ? done : usage;
  } catch (const std::exception& e) {
    complain(e.what());
    return could_not_run;
  }
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  if (!cpgring::cli::open_missing_descriptors()) {
    complain("can't open /dev/null in place of a closed standard stream");
    return could_not_run;
  }
  const int status = run_command(argc, argv);
  if (const int why = standard_output().failure(); why != 0) {
    complain(fmt::format("standard output: {}", cpgring::cli::stream_failure_text(why)));
    return status == done ? failed : status;
  }
  return status;
}
