// Which signals end a subcommand in order.
#include "cli/interrupts.hpp"

#include <signal.h>
#include <unistd.h>

#include <semaphore>

#include <gtest/gtest.h>

namespace cpgring::cli {
namespace {

TEST(interrupts, come_from_each_of_the_three_signals) {
  std::counting_semaphore<8> came(0);
  int last = 0;
  const interrupts watching([&](int count) {
    last = count;
    came.release();
  });
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    ASSERT_EQ(::kill(::getpid(), signal), 0);
    came.acquire();
  }
  EXPECT_EQ(last, 3);
}

TEST(interrupts, leave_a_hang_up_ignored_that_was) {
  const auto before = ::signal(SIGHUP, SIG_IGN);
  {
    std::counting_semaphore<8> came(0);
    int calls = 0;
    const interrupts watching([&](int) {
      ++calls;
      came.release();
    });
    ASSERT_EQ(::kill(::getpid(), SIGHUP), 0);
    ASSERT_EQ(::kill(::getpid(), SIGTERM), 0);
    came.acquire();
    EXPECT_EQ(calls, 1);
  }
  ::signal(SIGHUP, before);
}

}  // namespace
}  // namespace cpgring::cli
