// cpgring listen GROUP: prints the messages of a group on standard output.
#include <unistd.h>

#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/command.hpp"
#include "cli/interrupts.hpp"
#include "cli/numbers.hpp"
#include "cli/output.hpp"
#include "cli/output_queue.hpp"
#include "cli/text.hpp"

namespace cpgring::cli {
namespace {

struct listen_options {
  connection_options connection;
  std::string group;
  std::uint64_t count = 0;
  std::size_t buffer = std::size_t{16} << 20;
  bool raw = false;
  bool views = false;
  bool json = false;
  int verbosity = 0;
};

/// The engine's thread never waits for the reader of standard output: while a member does not read its
/// events, the service's memory grows.
class listener {
 public:
  explicit listener(const listen_options& o)
      : o_(o),
        escaped_(!o.raw && !o.json && ::isatty(STDOUT_FILENO) == 1),
        queue_(STDOUT_FILENO, STDERR_FILENO, o.buffer) {}

  outcome run() {
    hear();
    // This process is in no group any more, so waiting for the reader delays nobody else.
    const bool in_a_hurry = interrupted_ || overflowed_;
    if (overflowed_) {
      complain(
          fmt::format("standard output is read too slowly: at most {} bytes may wait for it (--buffer); left "
                      "the group '{}'",
                      o_.buffer, printable(o_.group)));
    } else if (failure_) {
      how_ = complain(*failure_);
    }
    const bool all = queue_.finish(in_a_hurry ? std::optional(reader_timeout) : std::nullopt);
    if (overflowed_) {
      return outcome::failed;
    }
    standard_output().fail(queue_.failure());  // main() reports it
    if (!all && queue_.failure() == 0) {
      complain(fmt::format("standard output is blocked: {} bytes were not written", queue_.waiting()));
    }
    return all ? how_ : outcome::failed;
  }

 private:
  /// How long the reader may accept nothing once this process has to end.
  static constexpr std::chrono::milliseconds reader_timeout{2000};

  /// Opens the handle and dispatches until the connection ends.
  void hear() {
    engine_options e;
    e.log = log_to_stderr(o_.verbosity);
    engine loop(e);
    const interrupts watching([this, &loop](int) {
      interrupted_ = true;
      loop.stop();
    });
    const std::stop_callback unwritable(queue_.broken(), [&loop] { loop.stop(); });
    callbacks calls;
    calls.on_message = [&](handle& h, const message& m) { take(loop, h, m); };
    calls.on_view = [&](handle& h, const view& v) { take(loop, h, v); };
    calls.on_aborted = [this](handle&, const aborted_message& a) {
      static_cast<void>(queue_.add_error(
          fmt::format("cpgring: a message of node {} pid {} was cut off after {} of {} bytes: {}\n",
                      a.sender_node, a.sender_pid, a.bytes_received, a.bytes_announced,
                      a.cause != nullptr ? a.cause->message() : std::string("its sender left"))));
    };
    calls.on_state = [&](handle&, const state_change& change) {
      if (change.cause != nullptr) {
        failure_ = *change.cause;
        loop.stop();
      }
    };
    auto h = o_.connection.for_handle();
    h.group = o_.group;
    if (auto opened = loop.open(h, std::move(calls)); !opened) {
      failure_ = opened.error();
    } else if (auto ran = loop.run();
               !ran && ran.error() != errc::stopped) {  // a signal may have stopped it first
      failure_ = ran.error();
    }
  }

  void put(engine& loop, handle& h, std::string_view bytes) {
    leave_unless(ended_ || queue_.add(bytes), loop, h);
  }

  void leave_unless(bool added, engine& loop, handle& h) {
    if (added) {
      return;
    }
    ended_ = true;
    overflowed_ = queue_.failure() == 0;
    if (!h.leave([&loop](const result<void>&) { loop.stop(); })) {
      loop.stop();
    }
  }

  void put_json(engine& loop, handle& h, const nlohmann::json& line) {
    put(loop, h,
        without_raw_controls(line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)) + "\n");
  }

  void take(engine& loop, handle& h, const message& m) {
    if (o_.json) {
      put_json(loop, h,
               {{"event", "message"},
                {"node_id", m.sender_node()},
                {"pid", m.sender_pid()},
                {"sequence", m.sequence()},
                {"payload", m.text()}});
    } else if (o_.raw) {
      put(loop, h, m.text());
    } else {
      put(loop, h, (escaped_ ? printable_text(m.text()) : std::string(m.text())) + "\n");
    }
    if (m.sequence() == o_.count) {
      ended_ = true;
      loop.stop();
    }
  }

  static nlohmann::json list(std::span<const member> members) {
    auto list = nlohmann::json::array();
    for (const auto& one : members) {
      list.push_back({{"node_id", one.node_id}, {"pid", one.pid}, {"reason", to_string(one.why)}});
    }
    return list;
  }

  void take(engine& loop, handle& h, const view& v) {
    if (o_.json && o_.views) {
      put_json(loop, h,
               {{"event", "view"},
                {"number", v.number},
                {"nodes", v.ring_nodes},
                {"members", list(v.members)},
                {"joined", list(v.joined)},
                {"left", list(v.left)}});
    } else if (o_.views) {
      std::string line = fmt::format("-- view {}: {} members", v.number, v.members.size());
      if (v.cause == view_cause::ring) {
        line += fmt::format(", nodes {}", fmt::join(v.ring_nodes, " "));
      }
      for (const auto& one : v.joined) {
        line += fmt::format(" +{}:{}", one.node_id, one.pid);
      }
      for (const auto& one : v.left) {
        line += fmt::format(" -{}:{} ({})", one.node_id, one.pid, to_string(one.why));
      }
      leave_unless(ended_ || queue_.add_error(line + "\n"), loop, h);
    }
  }

  const listen_options& o_;
  const bool escaped_;
  output_queue queue_;
  std::optional<error> failure_;
  outcome how_ = outcome::done;
  bool ended_ = false;       // further messages are not printed
  bool overflowed_ = false;  // `ended_` is set because the output queue was full
  bool interrupted_ = false;
};

}  // namespace

void declare_listen(CLI::App& app, runner& run) {
  auto* command =
      app.add_subcommand("listen", "join a group and print its messages on standard output, one per line");
  auto o = std::make_shared<listen_options>();
  declare_group(*command, o->group);
  command->add_option("-c,--count", o->count, "exit after this many messages")->transform(whole_number(0));
  command
      ->add_option(
          "--buffer", o->buffer,
          "bytes that may wait for a slow reader of standard output; above that, leave the group and "
          "exit with 1")
      ->transform(byte_count(1))
      ->capture_default_str();
  command->add_flag("--views", o->views,
                    "also report joins and leaves, on stderr (with --json: in the output)");
  auto* raw =
      command->add_flag("--raw", o->raw,
                        "print payloads unchanged, without a newline after each; otherwise a terminal "
                        "gets unprintable bytes as \\xNN");
  command
      ->add_flag("--json", o->json,
                 "print one JSON object per line; payload bytes that are not UTF-8 are replaced")
      ->excludes(raw);
  o->connection.declare(*command);
  declare_verbosity(*command, o->verbosity);
  command->callback([&run, o] { run = [o] { return listener(*o).run(); }; });
}

}  // namespace cpgring::cli
