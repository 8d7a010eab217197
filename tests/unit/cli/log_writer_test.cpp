// The library's log lines on standard error: writing one never blocks the caller.
#include "cli/log_writer.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <string>
#include <thread>

#include <gtest/gtest.h>

namespace {

using cpgring::cli::log_writer;

struct pipe_ends {
  pipe_ends() { EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0); }
  ~pipe_ends() {
    close_reader();
    ::close(ends[1]);
  }
  void close_reader() {
    if (ends[0] >= 0) {
      ::close(ends[0]);
      ends[0] = -1;
    }
  }
  std::string read_until(const std::string& text) {
    std::string all;
    std::array<char, 65536> some;
    while (all.find(text) == std::string::npos) {
      const auto got = ::read(ends[0], some.data(), some.size());
      if (got <= 0) {
        break;
      }
      all.append(some.data(), static_cast<std::size_t>(got));
    }
    return all;
  }
  std::array<int, 2> ends{-1, -1};
};

bool eventually(const log_writer& writer, std::uint64_t dropped) {
  for (const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
       std::chrono::steady_clock::now() < end;) {
    if (writer.dropped() >= dropped) {
      return true;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

TEST(log_writer, writes_lines_in_order) {
  pipe_ends pipe;
  {
    log_writer writer(pipe.ends[1]);
    writer.write("one\n");
    writer.write("two\n");
    writer.write("end\n");
  }
  EXPECT_EQ(pipe.read_until("end\n"), "one\ntwo\nend\n");
}

TEST(log_writer, drops_and_reports_lines_when_the_reader_is_slow) {
  pipe_ends pipe;
  log_writer writer(pipe.ends[1]);
  const std::string line = std::string(1023, 'x') + "\n";
  for (std::size_t i = 0; i < 2 * log_writer::room / line.size(); ++i) {
    writer.write(line);  // each call returns although nobody reads
  }
  EXPECT_GT(writer.dropped(), 0U);
  EXPECT_NE(pipe.read_until("log lines were not written\n").find("log lines were not written\n"),
            std::string::npos);
  pipe.close_reader();  // lets the writer's destructor finish
}

TEST(log_writer, survives_a_closed_reader) {
  pipe_ends pipe;
  pipe.close_reader();
  log_writer writer(pipe.ends[1]);
  writer.write("to nobody\n");
  EXPECT_TRUE(eventually(writer, 1));  // and SIGPIPE did not end this process
}

TEST(log_writer, survives_a_full_disk) {
  const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
  ASSERT_GE(full, 0);
  {
    log_writer writer(full);
    writer.write("one\n");
    writer.write("two\n");
    EXPECT_TRUE(eventually(writer, 2));
  }
  ::close(full);
}

TEST(log_writer, waits_for_room_in_a_non_blocking_pipe) {
  pipe_ends pipe;
  ASSERT_EQ(::fcntl(pipe.ends[1], F_SETFL, O_NONBLOCK), 0);
  log_writer writer(pipe.ends[1]);
  const std::string line = std::string(1023, 'y') + "\n";
  for (int i = 0; i < 100; ++i) {  // more than the pipe holds
    writer.write(line);
  }
  writer.write("end\n");
  EXPECT_EQ(pipe.read_until("end\n").size(), 100 * line.size() + 4);
  EXPECT_EQ(writer.dropped(), 0U);
}

}  // namespace
