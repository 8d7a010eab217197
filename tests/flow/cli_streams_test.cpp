// The command with unusual standard streams: closed, full, non-blocking, slow, a terminal.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "base/owned.hpp"
#include "support/command.hpp"
#include "support/world.hpp"

namespace cpgring::test {
namespace {

using base::unique_fd;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

struct pair_of_descriptors {
  unique_fd reader, writer;
};

pair_of_descriptors make_pipe() {
  std::array<int, 2> ends{};
  EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  return {unique_fd(ends[0]), unique_fd(ends[1])};
}

void make_non_blocking(const unique_fd& fd) {
  ASSERT_EQ(::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) | O_NONBLOCK), 0);
}

void put(const unique_fd& fd, std::string_view bytes) {
  ASSERT_EQ(::write(fd.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
}

/// Reads until the end of the stream, or until `enough` returns true.
std::string take(const unique_fd& from, const std::function<bool(const std::string&)>& enough = {}) {
  std::string all;
  std::array<char, 65536> some{};
  while (!enough || !enough(all)) {
    pollfd readable{from.get(), POLLIN, 0};
    if (::poll(&readable, 1, std::chrono::milliseconds(patience).count()) <= 0) {
      ADD_FAILURE() << "nothing arrived";
      break;
    }
    const auto got = ::read(from.get(), some.data(), some.size());
    if (got <= 0) {
      break;
    }
    all.append(some.data(), static_cast<std::size_t>(got));
  }
  return all;
}

std::size_t count_of(std::string_view what, std::string_view in) {
  std::size_t count = 0;
  for (auto at = in.find(what); at != std::string_view::npos; at = in.find(what, at + what.size())) {
    ++count;
  }
  return count;
}

class command_streams : public ::testing::Test {
 protected:
  std::vector<std::string> on_service(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin() + 1, {"--service", w.service()});
    return arguments;
  }
  /// Starts `cpgring listen` and waits until it is in the group.
  std::unique_ptr<child> listening(std::vector<std::string> arguments, streams instead = {}) const {
    arguments.insert(arguments.begin(), {"listen", group, "--views"});
    auto listener = std::make_unique<child>(cpgring_line(on_service(std::move(arguments))), "", instead);
    EXPECT_TRUE(instead.err != streams::usual || listener->until_it_says("-- view 1"));
    return listener;
  }
  bool is_member(pid_t pid) const {
    return cpgring_command(on_service({"groups"})).out.find(fmt::format(" {}\n", pid)) != std::string::npos;
  }

  world w;
  const std::string group = world::fresh_group("streams");
};

// --- standard input

TEST_F(command_streams, send_continues_after_a_non_blocking_input_was_empty) {
  const auto listener = listening({"--count", "3"});
  auto in = make_pipe();
  make_non_blocking(in.reader);
  child send(cpgring_line(on_service({"send", group})), "", {.in = in.reader.get()});
  in.reader.reset();
  put(in.writer, "one\n");
  ASSERT_TRUE(listener->until_it_says("one")) << "by now the input has been empty for a while";
  put(in.writer, "two\nthree\n");
  in.writer.reset();
  const auto sent = send.wait();
  EXPECT_EQ(sent.status, 0) << sent.err;
  EXPECT_EQ(listener->wait().out, "one\ntwo\nthree\n");
}

TEST_F(command_streams, send_reports_an_unreadable_input) {
  const unique_fd directory(::open("/", O_RDONLY | O_CLOEXEC));
  for (const auto& [instead, text] :
       {std::pair{streams{.in = directory.get()}, "standard input: Is a directory"},
        std::pair{streams{.in = streams::closed}, "standard input: it is closed"}}) {
    for (const auto& line : {std::vector<std::string>{"send", group}, {"send", group, "--whole"}}) {
      const auto e = cpgring_command(on_service(line), "", instead);
      EXPECT_EQ(e.status, 1);
      EXPECT_EQ(e.err, fmt::format("cpgring: {}; 0 messages were sent\n", text));
    }
  }
  EXPECT_EQ(cpgring_command(on_service({"send", group, "text"}), "", {.in = streams::closed}).status, 0)
      << "a message in the arguments needs no input";
}

TEST_F(command_streams, send_sends_what_it_read_before_its_input_failed) {
  const auto listener = listening({"--count", "1"});
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  unique_fd in(ends[0]), writer(ends[1]);
  put(in, "unread");  // the other side closes without reading this: connection reset
  put(writer, "whole\npart");
  writer.reset();
  const auto e = cpgring_command(on_service({"send", group}), "", {.in = in.get()});
  EXPECT_EQ(e.status, 1);
  EXPECT_EQ(e.err, "cpgring: standard input: Connection reset by peer; 1 messages were sent\n");
  EXPECT_EQ(listener->wait().out, "whole\n");
}

// --- standard output

TEST_F(command_streams, every_subcommand_fails_when_its_output_cannot_be_written) {
  const unique_fd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  auto broken = make_pipe();
  broken.reader.reset();
  const std::vector<std::vector<std::string>> lines{
      {"--version"},
      {"--help"},
      {"load", "--help"},
      {"probe"},
      {"probe", "--json"},
      on_service({"groups"}),
      on_service({"groups", "--json"}),
      on_service({"load", "--handles", "2", "--messages", "100", "--rate", "0"}),
      on_service({"load", "--handles", "2", "--messages", "100", "--rate", "0", "--json", "-"}),
      on_service({"load", "--handles", "2", "--messages", "100", "--rate", "0", "--hgrm", "-"})};
  for (const auto& [instead, text] :
       {std::pair{full.get(), "No space left on device"}, std::pair{broken.writer.get(), "Broken pipe"},
        std::pair{int{streams::closed}, "it is closed"}}) {
    for (const auto& line : lines) {
      const auto e = cpgring_command(line, "", {.out = instead});
      EXPECT_EQ(e.status, 1) << ::testing::PrintToString(line);
      EXPECT_EQ(e.err, fmt::format("cpgring: standard output: {}\n", text)) << ::testing::PrintToString(line);
    }
  }
}

TEST_F(command_streams, listen_ends_when_its_output_cannot_be_written) {
  const unique_fd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  auto broken = make_pipe();
  broken.reader.reset();
  for (const auto& [instead, text] :
       {std::pair{full.get(), "No space left on device"}, std::pair{broken.writer.get(), "Broken pipe"},
        std::pair{int{streams::closed}, "it is closed"}}) {
    const auto listener = listening({}, {.out = instead});
    EXPECT_EQ(cpgring_command(on_service({"send", group, "text"})).status, 0);
    const auto e = listener->wait();  // at once, without another message
    EXPECT_EQ(e.status, 1);
    EXPECT_EQ(count_of(fmt::format("cpgring: standard output: {}\n", text), e.err), 1U) << e.err;
  }
}

TEST_F(command_streams, serve_runs_without_output_and_reports_a_full_disk_at_its_end) {
  const unique_fd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  auto broken = make_pipe();
  broken.reader.reset();
  for (const auto& [instead, status] :
       {std::pair{full.get(), 1}, std::pair{broken.writer.get(), 0}, std::pair{int{streams::closed}, 0}}) {
    const auto name = world::fresh_group("serve");
    child serve(cpgring_line({"serve", "--name", name}), "", {.out = instead});
    ASSERT_TRUE(eventually([&] {
      return cpgring_command({"send", "--service", name, "g", "text"}).status == 0;
    }));
    serve.signal(SIGTERM);
    const auto e = serve.wait();
    EXPECT_EQ(e.status, status) << "a daemon may be started without standard output, or lose its reader";
    EXPECT_EQ(e.err, status == 0 ? "" : "cpgring: standard output: No space left on device\n");
  }
}

TEST_F(command_streams, listen_writes_whole_lines_to_a_non_blocking_output_that_is_read_late) {
  auto out = make_pipe();
  make_non_blocking(out.writer);
  constexpr int lines = 20000;
  const auto listener = listening({"--count", std::to_string(lines)}, {.out = out.writer.get()});
  out.writer.reset();
  std::string sent;
  for (int i = 0; i < lines; ++i) {
    sent += fmt::format("{:06} 0123456789\n", i);
  }
  EXPECT_EQ(cpgring_command(on_service({"send", group}), sent).status, 0);
  EXPECT_TRUE(take(out.reader) == sent);
  EXPECT_EQ(listener->wait().status, 0);
}

// --- slow readers

TEST_F(command_streams, listen_leaves_its_group_when_nobody_reads_its_output) {
  auto out = make_pipe();
  const auto listener = listening({"--buffer", "100K"}, {.out = out.writer.get()});
  out.writer.reset();
  std::string sent;
  for (int i = 0; i < 5000; ++i) {
    sent += fmt::format("{:099}\n", i);
  }
  EXPECT_EQ(cpgring_command(on_service({"send", group}), sent).status, 0);
  EXPECT_TRUE(listener->until_it_says("left the group"));
  EXPECT_TRUE(eventually([&] { return !is_member(listener->pid()); }));
  const auto e = listener->wait();  // ends although there is still no reader
  EXPECT_EQ(e.status, 1);
  EXPECT_EQ(count_of("standard output is read too slowly: ", e.err), 1U) << e.err;
  EXPECT_EQ(count_of("cpgring: ", e.err), 1U) << e.err;
  const auto got = take(out.reader);
  EXPECT_EQ(got.size() % 100, 0U) << "whole lines";
  EXPECT_TRUE(sent.starts_with(got)) << "the first ones";
}

TEST_F(command_streams, listen_prints_its_whole_buffer_to_a_reader_that_starts_late) {
  auto out = make_pipe();
  const auto listener = listening({"--buffer", "2M", "--count", "10000"}, {.out = out.writer.get()});
  out.writer.reset();
  std::string sent;
  for (int i = 0; i < 10000; ++i) {
    sent += fmt::format("{:099}\n", i);
  }
  EXPECT_EQ(cpgring_command(on_service({"send", group}), sent).status, 0);
  EXPECT_TRUE(eventually([&] { return !is_member(listener->pid()); }))
      << "the listener has received everything";
  EXPECT_TRUE(take(out.reader) == sent);
  EXPECT_EQ(listener->wait().status, 0);
}

TEST_F(command_streams, listen_ends_on_sigterm_although_nobody_reads) {
  auto out = make_pipe();
  const auto listener = listening({}, {.out = out.writer.get()});
  out.writer.reset();
  EXPECT_EQ(cpgring_command(on_service({"send", group, "--whole"}), std::string(500000, 'x')).status, 0);
  pollfd begun{out.reader.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&begun, 1, std::chrono::milliseconds(patience).count()), 1)
      << "the message exceeds the capacity of a pipe";
  listener->signal(SIGTERM);
  const auto e = listener->wait();
  EXPECT_EQ(e.status, 1);
  EXPECT_THAT(e.err, HasSubstr("cpgring: standard output is blocked: "));
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // sanitizers keep freed memory
std::size_t anonymous_kib(pid_t process) {
  std::ifstream status(fmt::format("/proc/{}/status", process));
  for (std::string word; status >> word;) {
    if (word == "RssAnon:") {
      std::size_t kib = 0;
      status >> kib;
      return kib;
    }
  }
  return 0;
}

TEST_F(command_streams, a_listener_that_nobody_reads_does_not_grow_the_daemon) {
  std::unique_ptr<child> serve;
  std::string service = "cpg";
  pid_t daemon = 0;
  if (world::embedded()) {
    service = world::fresh_group("serve");
    serve = std::make_unique<child>(cpgring_line({"serve", "--name", service}));
    ASSERT_TRUE(serve->until_it_says("serving"));
    daemon = serve->pid();
  } else if (const char* known = std::getenv("COROSYNC_PID"); known != nullptr) {
    daemon = std::atoi(known);
  }
  const auto before = anonymous_kib(daemon);
  ASSERT_GT(before, 0U) << "no process " << daemon;
  auto out = make_pipe();
  child listener(cpgring_line({"listen", "--service", service, group, "--views"}), "",
                 {.out = out.writer.get()});
  out.writer.reset();
  ASSERT_TRUE(listener.until_it_says("-- view 1"));
  constexpr std::size_t messages = 60000, size = 1000;
  std::string sent;
  while (sent.size() < messages * size) {
    sent.append(size - 1, 'x') += '\n';
  }
  EXPECT_EQ(cpgring_command({"send", "--service", service, group}, sent).status, 0);
  const auto after = anonymous_kib(daemon);
  EXPECT_LT(after, before + 20000) << "KiB; it was " << before;
  const auto e = listener.wait();
  EXPECT_EQ(e.status, 1);
  EXPECT_THAT(e.err, HasSubstr("left the group"));
}
#endif

// --- foreign bytes

/// A pseudo terminal: what is written to `inside` is read from `outside`.
struct terminal {
  terminal() : outside(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    EXPECT_EQ(::grantpt(outside.get()), 0);
    EXPECT_EQ(::unlockpt(outside.get()), 0);
    inside.reset(::open(::ptsname(outside.get()), O_RDWR | O_NOCTTY | O_CLOEXEC));
    termios how{};
    EXPECT_EQ(::tcgetattr(inside.get(), &how), 0);
    ::cfmakeraw(&how);
    EXPECT_EQ(::tcsetattr(inside.get(), TCSANOW, &how), 0);
  }
  unique_fd outside, inside;
};

const std::string hostile = "\x1b]0;title\x07 gr\u00fc\u00dfe \u009b31m \x7f two\nlines \xff \\";

TEST_F(command_streams, a_terminal_gets_no_control_characters_of_messages) {
  const terminal t;
  const auto listener = listening({"--count", "1"}, {.out = t.inside.get()});
  EXPECT_EQ(cpgring_command(on_service({"send", group, "--whole"}), hostile).status, 0);
  const auto ended = listener->wait();
  EXPECT_EQ(ended.status, 0) << ended.err;
  const auto got = take(t.outside, [](const std::string& so_far) { return so_far.ends_with('\n'); });
  EXPECT_EQ(got, "\\x1b]0;title\\x07 gr\u00fc\u00dfe \\xc2\\x9b31m \\x7f two\\x0alines \\xff \\\\\n");
}

TEST_F(command_streams, raw_writes_bytes_unchanged_to_a_terminal) {
  const terminal t;
  const auto listener = listening({"--count", "1", "--raw"}, {.out = t.inside.get()});
  EXPECT_EQ(cpgring_command(on_service({"send", group, "--whole"}), hostile).status, 0);
  EXPECT_EQ(take(t.outside, [&](const std::string& so_far) { return so_far.size() >= hostile.size(); }),
            hostile);
  EXPECT_EQ(listener->wait().status, 0);
}

TEST_F(command_streams, a_pipe_gets_bytes_unchanged) {
  const auto listener = listening({"--count", "1"});
  EXPECT_EQ(cpgring_command(on_service({"send", group, "--whole"}), hostile).status, 0);
  EXPECT_EQ(listener->wait().out, hostile + "\n");
}

TEST_F(command_streams, json_escapes_control_characters_of_messages_and_names) {
  const std::string odd = group + "\x7f\u009b";
  child listener(cpgring_line(on_service({"listen", odd, "--count", "1", "--json", "--views"})));
  ASSERT_TRUE(listener.until_it_says("\"view\""));
  const auto listed = cpgring_command(on_service({"groups", "--json"})).out;
  EXPECT_EQ(cpgring_command(on_service({"send", odd, "--whole"}), "\x7f \u009b31m \x1b").status, 0);
  const auto heard = listener.wait().out;
  for (const auto& text : {listed, heard}) {
    EXPECT_THAT(text, Not(HasSubstr("\x7f")));
    EXPECT_THAT(text, Not(HasSubstr("\u009b")));
    EXPECT_THAT(text, HasSubstr("\\u007f"));
    EXPECT_THAT(text, HasSubstr("\\u009b"));
  }
  const auto list = nlohmann::json::parse(listed);
  EXPECT_TRUE(std::any_of(list.begin(), list.end(), [&](const auto& one) { return one["group"] == odd; }));
}

// --- closed descriptors, signals, texts

TEST_F(command_streams, descriptors_closed_at_start_become_dev_null) {
  for (const auto& [instead, fd] :
       {std::pair{streams{.in = streams::closed}, 0}, std::pair{streams{.out = streams::closed}, 1},
        std::pair{streams{.in = streams::closed, .out = streams::closed, .err = streams::closed}, 2}}) {
    child listener(cpgring_line(on_service({"listen", group, "--count", "1"})), "", instead);
    ASSERT_TRUE(eventually([&] { return is_member(listener.pid()); }));
    EXPECT_EQ(std::filesystem::read_symlink(fmt::format("/proc/{}/fd/{}", listener.pid(), fd)), "/dev/null");
    EXPECT_EQ(cpgring_command(on_service({"send", group, "text"})).status, 0);
    const auto e = listener.wait();
    EXPECT_EQ(e.status, instead.out == streams::closed ? 1 : 0);
    EXPECT_EQ(e.out, instead.out == streams::closed ? "" : "text\n");
  }
}

TEST_F(command_streams, sighup_ends_a_subcommand_like_sigterm) {
  const auto name = world::fresh_group("serve");
  child serve(cpgring_line({"serve", "--name", name}));
  ASSERT_TRUE(serve.until_it_says("serving"));
  child listener(cpgring_line({"listen", "--service", name, group, "--views"}));
  ASSERT_TRUE(listener.until_it_says("-- view 1"));
  listener.signal(SIGHUP);
  EXPECT_EQ(listener.wait().status, 0);
  serve.signal(SIGHUP);
  const auto e = serve.wait();
  EXPECT_EQ(e.status, 0);
  EXPECT_THAT(e.out, HasSubstr("served 1 connections"));
}

TEST_F(command_streams, sighup_that_was_ignored_at_start_stays_ignored) {
  const auto name = world::fresh_group("serve");
  child serve({"sh", "-c", fmt::format("trap '' HUP; exec {} serve --name {}", CPGRING_COMMAND, name)});
  ASSERT_TRUE(serve.until_it_says("serving"));
  serve.signal(SIGHUP);
  EXPECT_EQ(cpgring_command({"send", "--service", name, "g", "text"}).status, 0);
  serve.signal(SIGTERM);
  EXPECT_EQ(serve.wait().status, 0);
}

TEST_F(command_streams, a_lost_service_is_reported_once) {
  const auto name = world::fresh_group("serve");
  auto serve = std::make_unique<child>(cpgring_line({"serve", "--name", name}));
  ASSERT_TRUE(serve->until_it_says("serving"));
  child listener(cpgring_line({"listen", "--service", name, group, "--views"}));
  ASSERT_TRUE(listener.until_it_says("-- view 1"));
  auto in = make_pipe();
  child send(cpgring_line({"send", "--service", name, group}), "", {.in = in.reader.get()});
  put(in.writer, "text\n");
  ASSERT_TRUE(listener.until_it_says("text"));
  serve->signal(SIGKILL);
  serve->wait();
  const auto sent = send.wait();  // ends while its input is open
  EXPECT_EQ(sent.status, 1);
  EXPECT_EQ(count_of("\n", sent.err), 1U) << sent.err;
  EXPECT_THAT(sent.err, HasSubstr("of 1 messages came back"));
  const auto heard = listener.wait();
  EXPECT_EQ(heard.status, 3);
  EXPECT_EQ(count_of("cpgring: ", heard.err), 1U) << heard.err;
}

TEST_F(command_streams, invalid_numbers_are_refused_in_one_line) {
  for (const auto& line :
       std::vector<std::vector<std::string>>{{"listen", "g", "--count", "-1"},
                                             {"listen", "g", "--buffer", "0"},
                                             {"listen", "g", "--ring-bytes", "-1"},
                                             {"send", "g", "--deadline", "0"},
                                             {"groups", "--deadline", "99999999999999999999"},
                                             {"serve", "--node-id", "0"},
                                             {"serve", "--node-id", "4294967296"},
                                             {"serve", "--member-backlog", "-5"},
                                             {"serve", "--seed", "-5"},
                                             {"serve", "--allow-gid", "-1"},
                                             {"serve", "--allow-gid", "wheel"},
                                             {"serve", "--allow-uid", "0,-1"},
                                             {"serve", "--inject", "stall=nan"}}) {
    const auto e = cpgring_command(line);
    EXPECT_EQ(e.status, 2) << ::testing::PrintToString(line);
    EXPECT_THAT(e.err, HasSubstr(line[line.size() - 2]));
    EXPECT_LT(e.err.size(), 300U) << e.err;
    EXPECT_THAT(e.out, IsEmpty());
  }
}

}  // namespace
}  // namespace cpgring::test
