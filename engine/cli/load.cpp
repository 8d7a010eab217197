// cpgring load: a workload that checks what it measures. This file has the options, the table and the JSON;
// load_run runs the workload.
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <fstream>
#include <map>
#include <memory>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/command.hpp"
#include "cli/interrupts.hpp"
#include "cli/load_run.hpp"
#include "cli/numbers.hpp"
#include "cli/output.hpp"
#include "cli/text.hpp"

namespace cpgring::cli {
namespace {

const std::map<std::string, ordering> orderings{{"by_handle", ordering::by_handle},
                                                {"by_sender", ordering::by_sender},
                                                {"by_key", ordering::by_key},
                                                {"unordered", ordering::unordered}};

const std::map<std::string, mode> modes{{"one", mode::one},
                                        {"one_nonblocking", mode::one_nonblocking},
                                        {"all", mode::all},
                                        {"blocking", mode::blocking}};

std::string_view name_of(mode how) {
  for (const auto& [name, value] : modes) {
    if (value == how) {
      return name;
    }
  }
  return "?";
}

double per_second(const load_report& r) {
  const double seconds = std::chrono::duration<double>(r.running).count();
  return seconds > 0 ? static_cast<double>(r.totals.delivered) / seconds : 0;
}

double per_message(const load_report& r, std::chrono::nanoseconds cpu) {
  return r.totals.delivered == 0 ? 0
                                 : static_cast<double>(cpu.count()) / static_cast<double>(r.totals.delivered);
}

double opening_us(const load_options& o, const load_report& r) {
  return std::chrono::duration<double, std::micro>(r.opening).count() / static_cast<double>(o.handles);
}

std::string time_of(std::uint64_t ns) {
  const auto value = static_cast<double>(ns);
  return ns < 1000000      ? fmt::format("{:.1f} us", value / 1e3)
         : ns < 1000000000 ? fmt::format("{:.2f} ms", value / 1e6)
                           : fmt::format("{:.2f} s", value / 1e9);
}

std::string bytes_of(std::uint64_t bytes) {
  const auto value = static_cast<double>(bytes);
  return bytes < (1U << 20) ? fmt::format("{:.1f} KiB", value / 1024)
                            : fmt::format("{:.1f} MiB", value / (1 << 20));
}

std::string table_of(const load_options& o, const load_report& r) {
  const auto& l = r.latency;
  std::string text;
  const auto line = [&text](std::string_view name, const std::string& value, const std::string& more = {}) {
    text += fmt::format("{:<22} {:>12}   {}\n", name, value, more);
  };
  text += fmt::format("cpgring load: service {}, wake-up {}, mode {}, idle {}\n\n", r.service,
                      to_string(r.backend), name_of(o.how), to_string(o.engine.idle_strategy));
  if (o.engine.reactors != 1) {
    line("reactors", fmt::format("{}", o.engine.reactors), "each with a thread of its own");
  }
  if (o.engine.workers != 0 || o.work_ns != 0 || o.retain != 0) {
    line("workers", fmt::format("{}", o.engine.workers),
         fmt::format("{}, {} ns of work in each callback, {} leases kept ({} refused, {} copied out)",
                     to_string(o.order), o.work_ns, o.retain, r.leases_refused, r.engine.total.copied_out));
  }
  line("handles", fmt::format("{}", o.handles),
       fmt::format("each in a group of its own, opened in {:.0f} us each", opening_us(o, r)));
  line("messages sent", fmt::format("{}", r.sent),
       fmt::format("of {} bytes, {}", o.size,
                   o.rate != 0 ? fmt::format("{} a second", o.rate) : "as fast as it goes"));
  line("messages delivered", fmt::format("{}", r.totals.delivered),
       fmt::format("lost {}, duplicated {}, out of order {}, corrupted {}", r.lost, r.totals.duplicated,
                   r.totals.out_of_order, r.totals.corrupted));
  line("throughput", fmt::format("{:.0f}/s", per_second(r)),
       fmt::format("over {:.1f} s", std::chrono::duration<double>(r.running).count()));
  line("CPU per message", fmt::format("{:.0f} ns", per_message(r, r.cpu)),
       fmt::format("without the service's own; {:.0f} ns of it by the sending thread",
                   per_message(r, r.sender_cpu)));
  line("latency p50", time_of(l.percentile(50)), "from the intended send time to the callback");
  line("        p90", time_of(l.percentile(90)));
  line("        p99", time_of(l.percentile(99)));
  line("        p99.9", time_of(l.percentile(99.9)));
  line("        p99.99", time_of(l.percentile(99.99)));
  line("        max", time_of(l.max()));
  line("shared memory", bytes_of(r.shm_bytes / o.handles), "for each handle");
  line("resident", bytes_of(r.rss_bytes),
       o.embedded() ? "shared memory and the embedded service included" : "shared memory included");
  text += "\n";
  if (r.failure) {
    text += fmt::format("ended early: {}\n", r.failure->message());
  } else if (r.interrupted) {
    text += "interrupted\n";
  }
  return text + (r.good(o) ? "good: every message was delivered once, in order and intact\n"
                           : "NOT GOOD: see above\n");
}

nlohmann::ordered_json json_of(const load_options& o, const load_report& r) {
  const auto& l = r.latency;
  return {{"service", r.service},
          {"wakeup_backend", to_string(r.backend)},
          {"mode", name_of(o.how)},
          {"idle", to_string(o.engine.idle_strategy)},
          {"reactors", o.engine.reactors},
          {"workers", o.engine.workers},
          {"ordering", to_string(o.order)},
          {"work_ns", o.work_ns},
          {"retain", o.retain},
          {"leases_refused", r.leases_refused},
          {"copied_out", r.engine.total.copied_out},
          {"handles", o.handles},
          {"message_bytes", o.size},
          {"rate_per_s", o.rate},
          {"messages_sent", r.sent},
          {"messages_delivered", r.totals.delivered},
          {"lost", r.lost},
          {"duplicated", r.totals.duplicated},
          {"out_of_order", r.totals.out_of_order},
          {"corrupted", r.totals.corrupted},
          {"seconds", std::chrono::duration<double>(r.running).count()},
          {"throughput_per_s", per_second(r)},
          {"cpu_ns_per_message", per_message(r, r.cpu)},
          {"sender_cpu_ns_per_message", per_message(r, r.sender_cpu)},
          {"latency_ns",
           {{"p50", l.percentile(50)},
            {"p90", l.percentile(90)},
            {"p99", l.percentile(99)},
            {"p99_9", l.percentile(99.9)},
            {"p99_99", l.percentile(99.99)},
            {"max", l.max()}}},
          {"connect_us_per_handle", opening_us(o, r)},
          {"shm_bytes_per_handle", r.shm_bytes / o.handles},
          {"rss_bytes", r.rss_bytes},
          {"ring_bytes", o.ring_bytes},
          {"doorbells", r.engine.total.doorbells},
          {"sleeps", r.engine.sleeps},
          {"enters", r.engine.enters},
          {"interrupted", r.interrupted},
          {"error", r.failure ? nlohmann::ordered_json(r.failure->message()) : nlohmann::ordered_json()}};
}

result<void> write_file(const std::string& name, const std::string& text) {
  if (name == "-") {
    standard_output().write(text);  // main() reports failures
    return {};
  }
  std::ofstream file(name);
  file << text;
  file.close();
  return file ? result<void>() : fail_errno(errno, fmt::format("write {}", name));
}

outcome load(load_options o) {
  if (auto ok = o.complete(); !ok) {
    return complain(ok.error());
  }
  if (auto ok = o.check_limits(); !ok) {
    return complain(ok.error());
  }
  // Checked before the run, so that no run is lost to an unwritable file.
  for (const auto* name : {&o.json, &o.hgrm}) {
    if (!name->empty() && *name != "-" && !std::ofstream(*name, std::ios::app)) {
      return complain(fail_errno(errno, fmt::format("write {}", *name)).why);
    }
  }
  if (!standard_output().open_for_writing()) {
    standard_output().fail(EBADF);
    return outcome::failed;
  }
  std::atomic<load_run*> running{nullptr};
  const interrupts watching([&running](int count) {
    if (auto* run = running.load(std::memory_order_acquire)) {
      run->interrupt(count > 1);
    } else {
      ::_exit(130);
    }
  });
  std::optional<embedded_service> service;
  if (o.embedded()) {
    embedded_service_options s;
    s.log = log_to_stderr(o.verbosity, log_level::warning);
    service.emplace(s);
  }
  load_report report;
  {
    load_run run(o, service ? &*service : nullptr);
    running.store(&run, std::memory_order_release);
    report = run.run();
    running.store(nullptr, std::memory_order_release);
  }
  if (report.failure && report.sent == 0) {
    return complain(*report.failure);
  }
  if (!o.prints_a_file()) {
    standard_output().write(table_of(o, report));
  } else if (report.failure) {
    complain(fmt::format("ended early: {}", report.failure->message()));
  }
  const auto json =
      without_raw_controls(json_of(o, report).dump(2, ' ', false, nlohmann::json::error_handler_t::replace)) +
      "\n";
  for (const auto& [name, text] :
       {std::pair{&o.json, json}, std::pair{&o.hgrm, report.latency.to_hgrm(1000.0)}}) {
    if (!name->empty()) {
      if (auto written = write_file(*name, text); !written) {
        return complain(written.error());
      }
    }
  }
  return report.good(o) ? outcome::done : outcome::failed;
}

void declare_traffic(CLI::App& command, load_options& o) {
  command.add_option("-n,--handles", o.handles, "number of handles")
      ->transform(whole_number(1, 100000))
      ->capture_default_str();
  command
      .add_option("-m,--messages", o.messages,
                  "total number of messages; 400000 at 20000 per second take 20 s")
      ->transform(whole_number(1))
      ->capture_default_str();
  command.add_option("--size", o.size, "size of each message in bytes")
      ->transform(byte_count(ledger::payload_min, 64 << 20))
      ->capture_default_str();
  command
      .add_option("-r,--rate", o.rate,
                  "messages per second, however slow the service is (open loop); 0: as fast as possible")
      ->transform(whole_number(0, 1000000000))
      ->capture_default_str();
  command
      .add_option("--window", o.window,
                  "with --rate 0: number of messages in flight; 0: 64 for each handle, at most 8192")
      ->transform(whole_number(0))
      ->capture_default_str();
}

/// Options for how callbacks are dispatched, by which threads, and what they do.
void declare_dispatching(CLI::App& command, load_options& o) {
  declare_choice(command, "--mode", o.how, modes, "dispatch mode, as in cpg_dispatch(3); default blocking");
  declare_engine(command, o.engine);
  command
      .add_option("--reactors", o.engine.reactors, "reactor threads; the handles are shared out among them")
      ->transform(whole_number(1, 64))
      ->capture_default_str();
  command
      .add_option("-w,--workers", o.engine.workers,
                  "worker threads that run the callbacks; 0: the dispatching threads do")
      ->transform(whole_number(0, 64))
      ->capture_default_str();
  declare_choice(command, "--ordering", o.order, orderings,
                 "how messages are assigned to workers, and so which order is kept; default by_handle");
  command.add_option("--work", o.work_ns, "nanoseconds of busy work in each callback")
      ->transform(whole_number(0, 1000000000))
      ->capture_default_str();
  command
      .add_option("--retain", o.retain,
                  "messages that each thread retains beyond their callbacks, and checks again on release")
      ->transform(whole_number(0, 1000000))
      ->capture_default_str();
}

}  // namespace

void declare_load(CLI::App& app, runner& run) {
  auto* command = app.add_subcommand("load",
                                     "open many handles, each in a group of its own, multicast at a fixed "
                                     "rate, and check that each message arrives once, in order and intact");
  auto o = std::make_shared<load_options>();
  command
      ->add_option(
          "-s,--service", o->service,
          "'embedded': a CPG service inside this process; else the name of a service, 'cpg' is corosync")
      ->capture_default_str();
  declare_service_uid(*command, o->service_uid);
  declare_traffic(*command, *o);
  declare_dispatching(*command, *o);
  command
      ->add_option("--ring-bytes", o->ring_bytes,
                   "size of each of a handle's rings; 0: 64 KiB, or what --size needs")
      ->transform(byte_count(0, ring_bytes_max));
  command
      ->add_option("--patience", o->patience_s,
                   "seconds without any arrival after which missing messages count as lost")
      ->transform(whole_number(1, 3600))
      ->capture_default_str();
  command->add_option(
      "--json", o->json,
      "write the results as JSON to this file; '-': to standard output, and nothing else there");
  command->add_option("--hgrm", o->hgrm,
                      "write the latency distribution to this file, in microseconds, for HdrHistogram's "
                      "plotters; '-' as with --json");
  declare_verbosity(*command, o->verbosity);
  command->callback([&run, o] { run = [o] { return load(*o); }; });
}

}  // namespace cpgring::cli
