// Standard input: splitting into lines, end of file, and read errors.
#include "cli/input.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "unit/cli/pipe.hpp"

namespace cpgring::cli {
namespace {

using test::test_pipe;

constexpr std::size_t most = 1000;

std::vector<std::string> lines_of(input& in, std::size_t longest = most) {
  std::vector<std::string> lines;
  for (std::string line; in.line(line, longest);) {
    lines.push_back(line);
  }
  return lines;
}

TEST(input, is_split_into_lines_and_the_last_may_lack_its_newline) {
  test_pipe pipe;
  pipe.put("one\n\nthree\nlast");
  pipe.close_writer();
  input in(pipe.reader());
  EXPECT_EQ(lines_of(in), (std::vector<std::string>{"one", "", "three", "last"}));
  EXPECT_EQ(in.failure(), 0);
  EXPECT_TRUE(lines_of(in).empty());
}

TEST(input, an_empty_non_blocking_descriptor_is_not_at_its_end) {
  test_pipe pipe;
  pipe.make_non_blocking(pipe.reader());
  input in(pipe.reader());
  std::thread writer([&] {  // may run before, between or after the reads: the result is the same
    pipe.put("one\ntw");
    pipe.put("o\nthree\n");
    pipe.close_writer();
  });
  EXPECT_EQ(lines_of(in), (std::vector<std::string>{"one", "two", "three"}));
  writer.join();
  EXPECT_EQ(in.failure(), 0);
}

TEST(input, a_read_error_yields_the_lines_before_it_and_no_partial_line) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  ASSERT_EQ(::write(ends[0], "unread", 6), 6);  // the peer closes without reading this: connection reset
  ASSERT_EQ(::write(ends[1], "whole\npart", 10), 10);
  ::close(ends[1]);
  input in(ends[0]);
  EXPECT_EQ(lines_of(in), (std::vector<std::string>{"whole"}));
  EXPECT_EQ(in.failure(), ECONNRESET);
  std::string rest;
  EXPECT_FALSE(in.all(rest, most));
  ::close(ends[0]);
}

TEST(input, from_a_directory_fails) {
  const int directory = ::open("/", O_RDONLY | O_CLOEXEC);
  input in(directory);
  EXPECT_EQ(in.failure(), 0);
  EXPECT_TRUE(lines_of(in).empty());
  EXPECT_EQ(in.failure(), EISDIR);
  ::close(directory);
}

TEST(input, a_descriptor_not_open_for_reading_is_reported_before_the_first_read) {
  const test_pipe pipe;
  input in(pipe.writer());
  EXPECT_EQ(in.failure(), EBADF);
  EXPECT_TRUE(lines_of(in).empty());
}

TEST(input, a_long_line_is_split_at_the_limit) {
  test_pipe pipe;
  pipe.put("123456789\n12\n12345");
  pipe.close_writer();
  input in(pipe.reader());
  EXPECT_EQ(lines_of(in, 5), (std::vector<std::string>{"12345", "6789", "12", "12345"}));
}

TEST(input, all_returns_at_most_the_limit) {
  test_pipe pipe;
  pipe.put("one\ntwo\nthree");
  pipe.close_writer();
  input in(pipe.reader());
  std::string text;
  ASSERT_TRUE(in.line(text, most));
  ASSERT_TRUE(in.all(text, 6));
  EXPECT_EQ(text, "two\nth");
  ASSERT_TRUE(in.all(text, most));
  EXPECT_EQ(text, "ree");
  ASSERT_TRUE(in.all(text, most));
  EXPECT_EQ(text, "");
}

TEST(input, stop_ends_a_wait_for_input) {
  const test_pipe pipe;
  input in(pipe.reader());
  std::thread other([&] { in.stop(); });
  std::string text;
  EXPECT_FALSE(in.line(text, most));
  EXPECT_FALSE(in.all(text, most));
  EXPECT_EQ(in.failure(), 0);
  other.join();
}

TEST(input, lines_that_span_reads_stay_whole_and_in_order) {
  test_pipe pipe;
  std::thread writer([&] {
    std::string all;
    for (int i = 0; i < 40000; ++i) {
      all += std::to_string(i) + "\n";
    }
    for (std::string_view left = all; !left.empty();) {
      const auto n = ::write(pipe.writer(), left.data(), left.size());
      ASSERT_GT(n, 0);
      left.remove_prefix(static_cast<std::size_t>(n));
    }
    pipe.close_writer();
  });
  input in(pipe.reader());
  const auto lines = lines_of(in);
  writer.join();
  ASSERT_EQ(lines.size(), 40000U);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    ASSERT_EQ(lines[i], std::to_string(i));
  }
}

}  // namespace
}  // namespace cpgring::cli
