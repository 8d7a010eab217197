// cpgring serve: runs the embedded CPG service until SIGINT, SIGTERM or SIGHUP.
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <future>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <cpgring/service.hpp>
#include <cpgring/testing.hpp>

#include "cli/command.hpp"
#include "cli/inject_option.hpp"
#include "cli/interrupts.hpp"
#include "cli/numbers.hpp"
#include "cli/output.hpp"
#include "cli/output_queue.hpp"

namespace cpgring::cli {
namespace {

struct serve_options {
  embedded_service_options service;
  testing::service_faults faults;
  int verbosity = 0;
};

constexpr std::size_t output_bytes_max = std::size_t{64} << 10;
constexpr std::chrono::milliseconds output_timeout{1000};

outcome serve(serve_options o) {
  const auto descriptors = raise_descriptor_limit();
  std::promise<void> asked;
  const interrupts watching([&asked](int count) {
    if (count == 1) {
      asked.set_value();
    }
  });
  // The service runs on even if standard output does not accept these lines. A daemon may be started without
  // a standard output.
  output_queue out(STDOUT_FILENO, STDERR_FILENO, output_bytes_max);
  const auto say = [&out, wanted = standard_output().open_for_writing()](const std::string& text) {
    if (wanted) {
      static_cast<void>(out.add(text));
    }
  };
  o.service.log = log_to_stderr(o.verbosity, log_level::warning);
  std::shared_ptr<testing::fault_injector> injector;
  if (!o.faults.none()) {
    auto made = testing::fault_injector::create(o.faults);
    if (!made) {
      return complain(made.error());
    }
    o.service.interceptor = injector = std::move(*made);
  }
  std::unique_ptr<embedded_service> service;
  try {
    service = std::make_unique<embedded_service>(o.service);
  } catch (const std::system_error& e) {
    if (e.code() == make_error_code(errc::exist)) {
      complain(
          fmt::format("the name '{}' is taken in this network namespace: by corosync, or by another 'cpgring "
                      "serve'; choose another with --name",
                      o.service.name));
      return outcome::no_service;
    }
    return complain(error(e.code(), e.what()));
  }
  say(fmt::format("serving '{}', {} clients at most; Ctrl-C ends it\n", service->name(), descriptors));
  asked.get_future().wait();
  const auto s = service->stats();
  service->stop();
  say(fmt::format(
      "served {} connections, {} multicasts, {} events; {} requests refused, {} members disconnected\n",
      s.connections_total, s.multicasts, s.events, s.requests_refused, s.members_disconnected));
  if (injector != nullptr) {
    say(fmt::format("injected faults: {}\n", committed_text(injector->stats())));
  }
  if (!out.finish(output_timeout) && out.failure() == 0) {
    complain(fmt::format("standard output is blocked: {} bytes were not written", out.waiting()));
    return outcome::failed;
  }
  if (out.failure() != EPIPE) {  // the starter may have read the first line and exited
    standard_output().fail(out.failure());
  }
  return outcome::done;
}

}  // namespace

void declare_serve(CLI::App& app, runner& run) {
  auto* command =
      app.add_subcommand("serve", "run an embedded CPG service: one node, no network, no configuration");
  auto o = std::make_shared<serve_options>();
  o->service.name = "cpgring";
  command
      ->add_option("-n,--name", o->service.name,
                   "name of the socket; unmodified libcpg programs connect to 'cpg'")
      ->capture_default_str();
  command->add_option("--node-id", o->service.node_id, "the node id that members see")
      ->transform(whole_number(1, std::numeric_limits<std::uint32_t>::max()))
      ->capture_default_str();
  command
      ->add_option("--member-backlog", o->service.member_backlog_bytes_max,
                   "bytes of events queued for a member that does not read, in addition to its ring")
      ->transform(byte_count(0))
      ->capture_default_str();
  declare_choice<slow_member_policy>(
      *command, "--slow-member", o->service.slow_member,
      {{"disconnect", slow_member_policy::disconnect}, {"block", slow_member_policy::block}},
      "at that limit: disconnect the member (default), or block all senders until it has read");
  command->add_option("--user", o->service.user,
                      "as root: permanently become this user once the name is bound");
  constexpr std::uint64_t id_max = std::numeric_limits<std::uint32_t>::max() - 1;  // -1 is no valid id
  command
      ->add_option("--allow-gid", o->service.allow_gid,
                   "also admit processes of this group (a number), which the service's own user must be in; "
                   "they are trusted like the service itself, so a service of root refuses this: see --user")
      ->transform(whole_number(0, id_max));
  command
      ->add_option("--allow-uid", o->service.allow_uid,
                   "of that group, admit only processes of these users (numbers)")
      ->delimiter(',')
      ->transform(whole_number(0, id_max));
  command
      ->add_option_function<std::vector<std::string>>(
          "--inject",
          [o](const std::vector<std::string>& all) {
            for (const auto& one : all) {
              if (const auto ok = parse_fault(one, o->faults); !ok) {
                throw CLI::ValidationError("--inject", ok.error().message());
              }
            }
          },
          "inject faults: KIND=RATE[:N][,...]; RATE is the probability (0 to 1) at each occasion; -vv logs "
          "each fault. Kinds, their N, their occasion: " +
              fault_kinds_text())
      ->delimiter(',')
      ->type_name("KIND=RATE[:N],...");
  command->add_option("--seed", o->faults.seed, "seed of the faults; the same seed makes the same choices")
      ->transform(whole_number(0))
      ->capture_default_str();
  declare_verbosity(*command, o->verbosity);
  command->callback([&run, o] { run = [o] { return serve(*o); }; });
}

}  // namespace cpgring::cli
