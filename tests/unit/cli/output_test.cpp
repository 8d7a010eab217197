// Standard output: writes are complete, and the first failure is kept.
#include "cli/output.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "unit/cli/pipe.hpp"

namespace cpgring::cli {
namespace {

using test::test_pipe;

TEST(output, is_written_completely_to_a_non_blocking_descriptor) {
  test_pipe pipe;
  pipe.make_non_blocking(pipe.writer());
  const std::string much(300000, 'x');  // more than a pipe holds
  std::string got;
  std::thread reader([&] { got = pipe.take(much.size() + 5); });
  output out(pipe.writer());
  EXPECT_TRUE(out.write(much));
  EXPECT_TRUE(out.print("{} {}", "end", 1));
  reader.join();
  EXPECT_TRUE(got == much + "end 1") << got.size();
  EXPECT_EQ(out.failure(), 0);
}

TEST(output, keeps_its_first_failure_and_writes_nothing_after_it) {
  const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
  ASSERT_GE(full, 0);
  output out(full);
  EXPECT_FALSE(out.write("lost"));
  EXPECT_EQ(out.failure(), ENOSPC);
  test_pipe pipe;
  ASSERT_EQ(::dup2(pipe.writer(), full), full);  // has room again
  EXPECT_FALSE(out.write("after a gap"));
  out.fail(EIO);
  EXPECT_EQ(out.failure(), ENOSPC);
  ::close(full);
  pipe.close_writer();
  EXPECT_EQ(pipe.take_all(), "");
}

TEST(output, fails_without_a_reader) {
  test_pipe pipe;
  pipe.close_reader();
  output out(pipe.writer());
  EXPECT_FALSE(out.write("to nobody"));
  EXPECT_EQ(out.failure(), EPIPE);
}

TEST(output, a_descriptor_not_open_for_writing_is_reported_as_closed) {
  const int readable = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  output out(readable);
  EXPECT_FALSE(out.open_for_writing());
  EXPECT_FALSE(out.write("x"));
  EXPECT_EQ(stream_failure_text(out.failure()), "it is closed");
  ::close(readable);
  EXPECT_FALSE(out.open_for_writing());
  const test_pipe pipe;
  EXPECT_TRUE(output(pipe.writer()).open_for_writing());
}

TEST(output, reports_a_failure_of_close) {
  output out(-1);
  out.close();
  EXPECT_EQ(out.failure(), EBADF);
}

}  // namespace
}  // namespace cpgring::cli
