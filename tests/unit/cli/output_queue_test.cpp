// Standard output written by a thread: the queue is bounded, keeps the order and reports failures.
#include "cli/output_queue.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <semaphore>
#include <string>

#include <gtest/gtest.h>

#include "unit/cli/pipe.hpp"

namespace cpgring::cli {
namespace {

using test::test_pipe;

constexpr std::chrono::milliseconds none{0};
constexpr std::size_t plenty = std::size_t{1} << 30;

/// Adds messages until the queue refuses one; returns the accepted bytes, in the pipe or still queued.
std::string fill_up(output_queue& queue, std::size_t size) {
  std::string all;
  for (int i = 0;; ++i) {
    auto message = std::to_string(i);
    message.resize(size - 1, '.');
    message += '\n';
    if (!queue.add(message)) {
      return all;
    }
    all += message;
  }
}

TEST(output_queue, writes_output_and_error_messages_in_one_order) {
  const test_pipe both;
  output_queue queue(both.writer(), ::dup(both.writer()), plenty);
  ASSERT_TRUE(queue.add("one\n"));
  ASSERT_TRUE(queue.add_error("-- a view\n"));
  ASSERT_TRUE(queue.add("two\n"));
  EXPECT_TRUE(queue.finish({}));
  EXPECT_EQ(queue.waiting(), 0U);
  EXPECT_EQ(both.take(18), "one\n-- a view\ntwo\n");
}

TEST(output_queue, refuses_beyond_its_limit_and_writes_all_it_accepted) {
  const test_pipe pipe;
  constexpr std::size_t limit = 100000;
  output_queue queue(pipe.writer(), -1, limit);
  const auto taken = fill_up(queue, 100);
  EXPECT_GT(taken.size(), limit - 100);
  EXPECT_LE(queue.waiting(), limit);
  EXPECT_FALSE(queue.finish(none)) << "nobody reads";
  EXPECT_TRUE(pipe.take(taken.size()) == taken);
  EXPECT_TRUE(queue.finish({}));
}

TEST(output_queue, writes_whole_messages_even_when_abandoned) {
  static test_pipe pipe;  // the abandoned thread still uses the pipe
  std::string taken;
  {
    output_queue queue(pipe.writer(), -1, 300000);
    taken = fill_up(queue, 100);
    ASSERT_EQ(pipe.take(200), taken.substr(0, 200)) << "writing has begun";
  }
  // The abandoned thread may still be writing until the pipe is empty: only whole messages arrive.
  pipe.make_non_blocking(pipe.reader());
  const auto got = pipe.take_all();
  EXPECT_EQ(got.size() % 100, 0U);
  EXPECT_TRUE(taken.substr(200).starts_with(got));
}

TEST(output_queue, takes_one_message_of_any_size_when_it_is_empty) {
  test_pipe pipe;
  output_queue queue(pipe.writer(), -1, 10);
  const std::string large(200000, 'x');
  ASSERT_TRUE(queue.add(large));
  EXPECT_FALSE(queue.add("y"));
  EXPECT_TRUE(pipe.take(large.size()) == large);
  EXPECT_TRUE(queue.finish({}));
  EXPECT_TRUE(queue.add("z"));
  EXPECT_EQ(pipe.take(1), "z");
}

TEST(output_queue, reports_a_closed_reader_at_once) {
  test_pipe pipe;
  output_queue queue(pipe.writer(), -1, plenty);
  std::binary_semaphore broken(0);
  const std::stop_callback when_broken(queue.broken(), [&broken] { broken.release(); });
  pipe.close_reader();
  ASSERT_TRUE(queue.add("to nobody"));
  broken.acquire();
  EXPECT_EQ(queue.failure(), EPIPE);
  EXPECT_FALSE(queue.add("more"));
  EXPECT_FALSE(queue.finish({}));
}

TEST(output_queue, keeps_writing_after_its_owner_closes_the_descriptor) {
  test_pipe pipe;
  output_queue queue(pipe.writer(), -1, plenty);
  pipe.close_writer();
  ASSERT_TRUE(queue.add("late"));
  EXPECT_EQ(pipe.take(4), "late");
  EXPECT_TRUE(queue.finish({}));
}

TEST(output_queue, keeps_writing_output_after_standard_error_fails) {
  const test_pipe pipe;
  const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
  output_queue queue(pipe.writer(), full, plenty);
  ASSERT_TRUE(queue.add_error("lost\n"));
  ASSERT_TRUE(queue.add("kept\n"));
  EXPECT_TRUE(queue.finish({}));
  EXPECT_EQ(queue.failure(), 0);
  EXPECT_EQ(pipe.take(5), "kept\n");
  ::close(full);
}

}  // namespace
}  // namespace cpgring::cli
