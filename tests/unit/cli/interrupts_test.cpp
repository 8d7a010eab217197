// The signals that end a subcommand in an orderly way.
#include "cli/interrupts.hpp"

#include <signal.h>
#include <unistd.h>

#include <semaphore>

#include <gtest/gtest.h>

namespace cpgring::cli {
namespace {

TEST(interrupts, are_counted_for_sigint_sigterm_and_sighup) {
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

TEST(interrupts, an_ignored_sighup_stays_ignored) {
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
