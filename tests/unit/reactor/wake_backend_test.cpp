// The contract of wake_backend on each backend available here: invariants I1 to I3 of wake_backend.hpp.
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "unit/reactor/fake_source.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::reactor;
using namespace cpgring::reactor::test;

class wake_backends : public ::testing::TestWithParam<wakeup> {
 protected:
  void SetUp() override {
    auto made = choose_backend(GetParam(), 4, {});
    ASSERT_TRUE(made) << made.error().message();
    backend = std::move(*made);
  }
  /// Sleeps and reaps until a completion of that kind and slot arrives; false after `patience`.
  bool until(completion_kind kind, std::uint32_t slot) {
    const auto end = base::clock::now() + patience;
    while (base::clock::now() < end) {
      seen.clear();
      backend->reap(seen);
      if (std::any_of(seen.begin(), seen.end(), [&](const cpgring::reactor::completion& c) {
            return c.kind == kind && c.slot == slot;
          })) {
        return true;
      }
      backend->sleep(end);
    }
    return false;
  }
  /// Checks that a removed slot can be used again.
  void serves_another(std::uint32_t slot) {
    fake_service next;
    ASSERT_TRUE(backend->add(slot, next.target()));
    backend->arm_event(slot);
    std::thread later([&] { next.post(); });
    EXPECT_TRUE(until(completion_kind::event, slot));
    later.join();
    backend->remove(slot);
  }
  /// The number of further completions of this kind.
  std::size_t leftover(completion_kind kind) {
    seen.clear();
    for (int i = 0; i < 3; ++i) {
      backend->reap(seen);
    }
    return static_cast<std::size_t>(std::count_if(
        seen.begin(), seen.end(), [&](const cpgring::reactor::completion& c) { return c.kind == kind; }));
  }

  std::unique_ptr<wake_backend> backend;
  std::vector<cpgring::reactor::completion> seen;
};
INSTANTIATE_TEST_SUITE_P(each, wake_backends, ::testing::ValuesIn(backends_here()),
                         [](const auto& info) { return std::string(to_string(info.param)); });

TEST_P(wake_backends, an_event_after_arming_completes_the_wait) {
  fake_service s;
  ASSERT_TRUE(backend->add(0, s.target()));
  backend->arm_event(0);
  std::thread later([&] { s.post(); });
  EXPECT_TRUE(until(completion_kind::event, 0));
  later.join();
  EXPECT_EQ(s.take(), 1U);
  backend->remove(0);
}

TEST_P(wake_backends, one_call_into_the_kernel_sleeps_and_returns_the_event) {
  fake_service s;
  ASSERT_TRUE(backend->add(0, s.target()));
  seen.clear();
  backend->reap(seen);
  backend->arm_event(0);
  const auto before = backend->counters()->enters.get();
  s.post();
  backend->sleep(base::clock::now() + patience);
  backend->reap(seen);
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen.front().kind, completion_kind::event);
  EXPECT_EQ(backend->counters()->enters.get() - before, 1U);
  backend->remove(0);
}

TEST_P(wake_backends, an_event_before_arming_is_visible_afterwards_or_completes_the_wait) {
  fake_service s;
  ASSERT_TRUE(backend->add(0, s.target()));
  s.post();
  backend->arm_event(0);
  EXPECT_TRUE(s.value() > 0 || until(completion_kind::event, 0));
  backend->remove(0);
}

TEST_P(wake_backends, each_arming_completes_once_for_any_number_of_events) {
  fake_service s;
  ASSERT_TRUE(backend->add(0, s.target()));
  for (int round = 0; round < 5; ++round) {
    backend->arm_event(0);
    std::thread later([&] {
      for (int i = 0; i < 400; ++i) {  // more than the socket holds
        s.post();
      }
    });
    EXPECT_TRUE(until(completion_kind::event, 0));
    later.join();
    std::uint32_t taken = 0;
    while (taken < 400) {
      taken += s.take();
      s.pay();
    }
    EXPECT_EQ(leftover(completion_kind::event), 0U) << "without arming nothing may complete";
  }
  backend->remove(0);
}

TEST_P(wake_backends, a_source_without_a_semaphore_waits_on_its_socket) {
  fake_service s;
  wake_target socket_alone = s.target();
  socket_alone.events = socket_alone.answers = nullptr;
  ASSERT_TRUE(backend->add(0, socket_alone));
  backend->arm_event(0);
  EXPECT_EQ(leftover(completion_kind::event), 0U) << "no event has arrived";
  s.post();
  EXPECT_TRUE(until(completion_kind::event, 0));
  backend->remove(0);
}

TEST_P(wake_backends, a_hang_up_is_reported_once_armed_or_not) {
  fake_service armed, quiet;
  ASSERT_TRUE(backend->add(0, armed.target()));
  ASSERT_TRUE(backend->add(1, quiet.target()));
  backend->arm_event(0);
  armed.hang_up();
  EXPECT_TRUE(until(completion_kind::hang_up, 0));
  EXPECT_EQ(leftover(completion_kind::hang_up), 0U);
  quiet.hang_up();
  EXPECT_TRUE(until(completion_kind::hang_up, 1));
  EXPECT_EQ(leftover(completion_kind::hang_up), 0U);
  backend->remove(0);
  backend->remove(1);
}

TEST_P(wake_backends, only_the_futex_backend_waits_for_answers) {
  fake_service s;
  ASSERT_TRUE(backend->add(0, s.target()));
  const bool can = backend->arm_answer(0);
  EXPECT_EQ(can, GetParam() == wakeup::futex);
  if (can) {
    std::thread later([&] { s.answer(); });
    EXPECT_TRUE(until(completion_kind::answer, 0));
    later.join();
  }
  backend->remove(0);
}

TEST_P(wake_backends, a_removed_source_leaves_no_wait_behind) {
  fake_service s;
  ASSERT_TRUE(backend->add(0, s.target()));
  backend->arm_event(0);
  static_cast<void>(backend->arm_answer(0));
  std::vector<cpgring::reactor::completion> ignored;
  backend->reap(ignored);  // the waits have reached the kernel
  backend->remove(0);
  EXPECT_EQ(s.waiters(), 0U)
      << "a raised waiter count costs the service a system call for each post, for ever";
  s.post();
  s.hang_up();
  EXPECT_EQ(leftover(completion_kind::event), 0U);
  EXPECT_EQ(leftover(completion_kind::hang_up), 0U);
  serves_another(0);
}

TEST_P(wake_backends, a_watched_descriptor_is_reported_once) {
  fake_service s;
  ASSERT_TRUE(backend->watch(7, s.target().fd));
  s.post();
  EXPECT_TRUE(until(completion_kind::readable, 7));
  backend->unwatch(7);
  s.post();
  EXPECT_EQ(leftover(completion_kind::readable), 0U);
}

TEST_P(wake_backends, a_thousand_sources_lose_nothing_with_queues_sized_for_four) {
  std::vector<std::unique_ptr<fake_service>> all;
  for (std::uint32_t i = 0; i < 1000; ++i) {
    all.push_back(std::make_unique<fake_service>());
    ASSERT_TRUE(backend->add(i, all[i]->target()));
  }
  for (int round = 0; round < 3; ++round) {
    for (std::uint32_t i = 0; i < 1000; ++i) {
      backend->arm_event(i);
    }
    std::thread later([&] {
      for (auto& s : all) {
        s->post();
      }
    });
    std::vector<bool> seen_once(1000);
    std::size_t count = 0;
    const auto end = base::clock::now() + patience;
    while (count < 1000 && base::clock::now() < end) {
      seen.clear();
      backend->reap(seen);
      for (const cpgring::reactor::completion& c : seen) {
        if (c.kind == completion_kind::event && !seen_once[c.slot]) {
          seen_once[c.slot] = true;
          ++count;
          all[c.slot]->take();
        }
      }
      if (count < 1000) {
        backend->sleep(base::clock::now() + std::chrono::milliseconds(100));
      }
    }
    later.join();
    EXPECT_EQ(count, 1000U);
  }
  for (std::uint32_t i = 0; i < 1000; ++i) {
    backend->remove(i);
    EXPECT_EQ(all[i]->waiters(), 0U);
  }
}

TEST_P(wake_backends, completions_beyond_the_completion_queue_are_not_lost) {
  // An event and a hang-up of each: more than the 4096 entries of the smallest queue.
  constexpr std::uint32_t sources = 2200;
  // A kernel may complete only 20 requests per call. Removals enter it again and again while nothing is
  // reaped, as when many handles end at once.
  constexpr std::uint32_t removed = 300;
  std::vector<std::unique_ptr<fake_service>> all;
  for (std::uint32_t i = 0; i < sources + removed; ++i) {
    all.push_back(std::make_unique<fake_service>());
    ASSERT_TRUE(backend->add(i, all[i]->target()));
    backend->arm_event(i);
  }
  ASSERT_EQ(leftover(completion_kind::event), 0U);
  for (std::uint32_t i = 0; i < sources; ++i) {
    all[i]->post();
    all[i]->hang_up();
  }
  for (std::uint32_t i = sources; i < sources + removed; ++i) {
    backend->remove(i);
  }
  std::vector<int> events(sources), hang_ups(sources);
  std::uint32_t reported = 0;
  for (const auto end = base::clock::now() + patience; reported < 2 * sources && base::clock::now() < end;) {
    seen.clear();
    if (backend->pending()) {  // a spinning reactor relies on this alone; a sleep would also fetch the rest
      backend->reap(seen);
    }
    for (const cpgring::reactor::completion& c : seen) {
      ++(c.kind == completion_kind::event ? events : hang_ups).at(c.slot);
      ++reported;
    }
  }
  EXPECT_EQ(events, std::vector<int>(sources, 1));
  EXPECT_EQ(hang_ups, std::vector<int>(sources, 1));
  EXPECT_EQ(backend->counters()->overflows.get() > 0, GetParam() == wakeup::futex)
      << "the queue did not overflow, so this test proves nothing";
  EXPECT_EQ(leftover(completion_kind::event) + leftover(completion_kind::hang_up), 0U);
  // The backend works as before.
  for (std::uint32_t i = 0; i < sources; ++i) {
    backend->remove(i);
    EXPECT_EQ(all[i]->waiters(), 0U);
  }
  serves_another(0);
}

TEST_P(wake_backends, sleep_ends_at_its_time) {
  const auto until = base::clock::now() + std::chrono::milliseconds(20);
  std::vector<cpgring::reactor::completion> ignored;
  while (base::clock::now() < until) {
    backend->reap(ignored);
    backend->sleep(until);
  }
  EXPECT_TRUE(ignored.empty());
}

TEST_P(wake_backends, a_destroyed_backend_leaves_no_waiter_behind) {
  fake_service s;
  ASSERT_TRUE(backend->add(0, s.target()));
  backend->arm_event(0);
  static_cast<void>(backend->arm_answer(0));
  std::vector<cpgring::reactor::completion> ignored;
  backend->reap(ignored);
  backend.reset();
  EXPECT_EQ(s.waiters(), 0U);
}

TEST_P(wake_backends, a_foreign_loop_sees_an_armed_event) {
  fake_service s;
  ASSERT_TRUE(backend->add(0, s.target()));
  backend->arm_event(0);
  backend->prepare_foreign_wait(std::nullopt, false);
  pollfd p{backend->pollable_fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&p, 1, 0), 0) << "there is no work";
  s.post();
  EXPECT_EQ(::poll(&p, 1, 60000), 1);
  EXPECT_TRUE(until(completion_kind::event, 0));
  s.take();
  backend->prepare_foreign_wait(std::nullopt, true);
  EXPECT_EQ(::poll(&p, 1, 60000), 1) << "readable at once";
  backend->remove(0);
}

}  // namespace
