// cpgring listen GROUP: what is multicast there, on standard output.
#include <cstdio>
#include <memory>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/command.hpp"
#include "cli/interrupts.hpp"

namespace cpgring::cli {
namespace {

struct listen_options {
  connection_options connection;
  std::string group;
  std::uint64_t count = 0;
  bool raw = false;
  bool views = false;
  bool json = false;
  int verbosity = 0;
};

class listener {
 public:
  explicit listener(const listen_options& o) : o_(o), loop_(options()) {}

  outcome run() {
    const interrupts watching([this](int) { loop_.stop(); });
    callbacks calls;
    calls.on_message = [this](handle&, const message& m) { take(m); };
    calls.on_view = [this](handle&, const view& v) { take(v); };
    calls.on_aborted = [](handle&, const aborted_message& a) {
      complain(fmt::format("a message of node {} pid {} was cut off after {} of {} bytes: {}", a.sender_node, a.sender_pid,
                           a.bytes_received, a.bytes_announced, a.cause != nullptr ? a.cause->message() : std::string("its sender left")));
    };
    calls.on_state = [this](handle&, const state_change& change) {
      if (change.cause != nullptr) {
        failure_ = *change.cause;
        loop_.stop();
      }
    };
    auto h = o_.connection.for_handle();
    h.group = o_.group;
    if (auto opened = loop_.open(h, calls); !opened) {
      return complain(opened.error());
    }
    if (auto ran = loop_.run(); !ran) {
      return complain(ran.error());
    }
    return failure_ ? complain(*failure_) : written_ ? outcome::done : outcome::no_service;
  }

 private:
  engine_options options() const {
    engine_options e;
    e.log = log_to_stderr(o_.verbosity);
    return e;
  }

  void put(std::string_view bytes, bool newline) {
    // Each message is seen at once by whoever reads the pipe.
    if (std::fwrite(bytes.data(), 1, bytes.size(), stdout) != bytes.size() || (newline && std::fputc('\n', stdout) == EOF) ||
        std::fflush(stdout) != 0) {
      if (written_) {
        complain("standard output takes no more");
      }
      written_ = false;
      loop_.stop();
    }
  }

  void put(const nlohmann::json& line) { put(line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace), true); }

  void take(const message& m) {
    if (o_.json) {
      put({{"event", "message"}, {"node_id", m.sender_node()}, {"pid", m.sender_pid()}, {"sequence", m.sequence()}, {"payload", m.text()}});
    } else {
      put(m.text(), !o_.raw);
    }
    if (m.sequence() == o_.count) {
      loop_.stop();
    }
  }

  static nlohmann::json list(std::span<const member> members) {
    auto list = nlohmann::json::array();
    for (const auto& one : members) {
      list.push_back({{"node_id", one.node_id}, {"pid", one.pid}, {"reason", to_string(one.why)}});
    }
    return list;
  }

  void take(const view& v) {
    if (o_.json && o_.views) {
      put({{"event", "view"},
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
      print_error(line + "\n");
    }
  }

  const listen_options& o_;
  engine loop_;
  std::optional<error> failure_;
  bool written_ = true;
};

}  // namespace

void declare_listen(CLI::App& app, runner& run) {
  auto* command = app.add_subcommand("listen", "join a group and print its messages on standard output, one a line");
  auto o = std::make_shared<listen_options>();
  declare_group(*command, o->group);
  command->add_option("-c,--count", o->count, "end after so many messages");
  command->add_flag("--views", o->views, "also tell on stderr (with --json: in the output) who joins and leaves");
  auto* raw = command->add_flag("--raw", o->raw, "payloads as they are, no newline behind each");
  command->add_flag("--json", o->json, "one JSON object a line; payload bytes that are no UTF-8 are replaced")->excludes(raw);
  o->connection.declare(*command);
  declare_verbosity(*command, o->verbosity);
  command->callback([&run, o] { run = [o] { return listener(*o).run(); }; });
}

}  // namespace cpgring::cli
