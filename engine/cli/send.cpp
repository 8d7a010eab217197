// cpgring send GROUP: multicasts standard input (or arguments) to a group; ends when all messages have come
// back in total order.
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "cli/command.hpp"
#include "cli/gate.hpp"
#include "cli/input.hpp"
#include "cli/output.hpp"

namespace cpgring::cli {
namespace {

struct send_options {
  connection_options connection;
  std::string group;
  std::vector<std::string> texts;
  bool whole = false;
  int verbosity = 0;
};

/// The engine runs on its own thread. The calling thread reads and multicasts.
class sender {
 public:
  explicit sender(const send_options& o) : o_(o), loop_(options()) {}

  outcome run() {
    if (reads_input() && input_.failure() != 0) {
      return unreadable();
    }
    callbacks calls;
    calls.on_message = [this](handle& h, const message& m) {
      if (m.sender_pid() == h.pid() && m.sender_node() == h.local_node()) {
        {
          const std::lock_guard lock(lock_);
          ++returned_;
        }
        gate_.open();
      }
    };
    calls.on_writable = [this](handle&) { gate_.open(); };
    calls.on_state = [this](handle&, const state_change& change) {
      const std::lock_guard lock(lock_);
      joined_ = joined_ || change.to == handle_state::joined;
      if (change.cause != nullptr) {
        failure_ = *change.cause;
        end_.request_stop();
        input_.stop();
      }
      gate_.open();
    };
    auto h = o_.connection.for_handle();
    h.group = o_.group;
    auto opened = loop_.open(h, std::move(calls));
    if (!opened) {
      return complain(opened.error());
    }
    handle_ = *opened;
    if (auto started = loop_.start(); !started) {
      return complain(started.error());
    }
    const bool all =
        wait([this] { return joined_; }) && send_all() && wait([this] { return returned_ >= sent_; });
    loop_.stop();
    return !all ? tell() : reads_input() && input_.failure() != 0 ? unreadable() : outcome::done;
  }

 private:
  bool reads_input() const { return o_.texts.empty(); }

  engine_options options() const {
    engine_options e;
    e.log = log_to_stderr(o_.verbosity);
    return e;
  }

  template <class Condition>
  bool wait(Condition condition) {
    while (true) {
      const auto seen = gate_.count();
      {
        const std::lock_guard lock(lock_);
        if (condition()) {
          return true;
        }
      }
      if (!gate_.wait_past(seen, end_.get_token())) {
        return false;
      }
    }
  }

  bool send_all() {
    if (!reads_input()) {
      return std::all_of(o_.texts.begin(), o_.texts.end(),
                         [this](const std::string& text) { return send(text); });
    }
    // Reads at most one byte more than the largest message: anything longer is refused anyway.
    const std::size_t most = handle_options().large_message_max + 1;
    std::string text;
    if (o_.whole) {
      return input_.all(text, most) ? send(text) : input_.failure() != 0;
    }
    while (input_.line(text, most)) {
      if (!send(text)) {
        return false;
      }
    }
    // Messages that were read before standard input failed have been sent, and run() waits for their return.
    return !end_.stop_requested();
  }

  bool send(std::string_view text) {
    while (true) {
      const auto seen = gate_.count();
      auto sent = handle_.multicast(text);
      if (sent) {
        ++sent_;
        return true;
      }
      if (sent.error() != errc::try_again) {
        const std::lock_guard lock(lock_);
        if (!failure_) {
          failure_ = sent.error();
        }
        return false;
      }
      if (!gate_.wait_past(seen, end_.get_token())) {
        return false;
      }
    }
  }

  outcome tell() {
    const std::lock_guard lock(lock_);
    if (sent_ == 0) {
      return complain(*failure_);
    }
    complain(fmt::format("{}; {} of {} messages came back, it is unknown whether the others were delivered",
                         failure_->message(), returned_, sent_));
    return outcome::failed;
  }

  outcome unreadable() const {
    complain(fmt::format("standard input: {}; {} messages were sent", stream_failure_text(input_.failure()),
                         sent_));
    return outcome::failed;
  }

  const send_options& o_;
  input input_{STDIN_FILENO};
  handle handle_;
  gate gate_;
  std::stop_source end_;
  std::mutex lock_;  // guards failure_, joined_ and returned_
  std::optional<error> failure_;
  bool joined_ = false;
  std::uint64_t returned_ = 0;
  std::uint64_t sent_ = 0;
  engine loop_;  // destroyed first: its thread uses all of the above
};

}  // namespace

void declare_send(CLI::App& app, runner& run) {
  auto* command = app.add_subcommand(
      "send",
      "join a group and multicast each line of standard input; ends when all have come back in order");
  auto o = std::make_shared<send_options>();
  declare_group(*command, o->group);
  auto* texts =
      command->add_option("TEXT", o->texts, "messages to send; without any, standard input is read");
  command
      ->add_flag("--whole", o->whole, "send all of standard input as one message (above 1 MiB in fragments)")
      ->excludes(texts);
  o->connection.declare(*command);
  declare_verbosity(*command, o->verbosity);
  command->callback([&run, o] { run = [o] { return sender(*o).run(); }; });
}

}  // namespace cpgring::cli
