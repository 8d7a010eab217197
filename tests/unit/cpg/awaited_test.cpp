#include "cpg/awaited.hpp"

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace {

using namespace cpgring;
using namespace cpgring::cpg;

const base::time_point never = base::time_point::max();
const error why(errc::timeout);

base::time_point at(int ms) { return base::time_point(std::chrono::milliseconds(ms)); }

TEST(awaited, the_nth_that_was_written_is_the_nth_that_comes_back) {
  awaited_list list;
  multicast_outcome told;
  int calls = 0;
  awaited& one = list.add(10, never, [&](const multicast_outcome& o) {
    told = o;
    ++calls;
  });
  list.written(nullptr);
  list.written(&one);
  list.written(nullptr);
  EXPECT_EQ(list.came_back(), nullptr);
  ASSERT_EQ(list.came_back(), &one);
  EXPECT_EQ(list.came_back(), nullptr);
  awaited_list::confirm(one, 77);
  EXPECT_EQ(list.sweep(), 10 + awaited_list::overhead) << "its room is free once it is back";
  EXPECT_FALSE(list.empty()) << "and its place once it is told";
  one.tell();
  EXPECT_EQ(list.sweep(), 0U);
  EXPECT_TRUE(list.empty());
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(told.fate, multicast_fate::confirmed);
  EXPECT_EQ(told.sequence, 77U);
}

TEST(awaited, what_was_written_keeps_its_place_and_its_room_after_its_deadline) {
  awaited_list list;
  std::vector<std::string> told;
  const auto tell = [&told](std::string name) {
    return [&told, name](const multicast_outcome& o) { told.push_back(name + ' ' + std::string(to_string(o.fate))); };
  };
  awaited& sent = list.add(1, at(5), tell("sent"));
  awaited& queued = list.add(2, at(5), tell("queued"));
  awaited& later = list.add(3, at(9), tell("later"));
  list.written(&sent);
  EXPECT_EQ(list.next_deadline(), at(5));
  list.expire(at(4), [](awaited&) { FAIL(); });
  list.expire(at(5), [&](awaited& one) {
    list.fail(one, why);
    one.tell();
  });
  EXPECT_EQ(told, (std::vector<std::string>{"sent unknown", "queued not sent"}));
  EXPECT_EQ(list.next_deadline(), at(9));
  EXPECT_EQ(list.sweep(), 2 + awaited_list::overhead);
  static_cast<void>(queued);
  list.written(&later);
  EXPECT_EQ(list.came_back(), &sent);
  EXPECT_TRUE(sent.decided());
  EXPECT_EQ(list.came_back(), &later) << "the one that was never sent does not stand in the way";
  EXPECT_EQ(list.sweep(), 1 + 3 + 2 * awaited_list::overhead);
}

TEST(awaited, a_torn_message_gives_its_number_to_the_next) {
  awaited_list list;
  awaited& torn = list.add(1, never, [](const multicast_outcome& o) { EXPECT_EQ(o.fate, multicast_fate::not_sent); });
  awaited& next = list.add(1, never, [](const multicast_outcome&) {});
  list.written(&torn);
  list.torn(&torn);
  list.fail(torn, why);
  torn.tell();
  list.written(&next);
  EXPECT_EQ(list.came_back(), &next);
}

TEST(awaited, a_confirmation_that_throws_counts_as_told) {
  awaited_list list;
  awaited& one = list.add(1, never, [](const multicast_outcome&) { throw 1; });
  list.fail(one, why);
  EXPECT_THROW(one.tell(), int);
  EXPECT_TRUE(list.all_told());
  list.sweep();
  EXPECT_TRUE(list.empty());
}

/// Any sequence of asking, writing, tearing, coming back, expiring and telling: each is decided once, with the truth, and all room comes
/// back.
RC_GTEST_PROP(awaited, each_is_told_once_and_all_room_comes_back, ()) {
  struct mine {
    awaited* one = nullptr;
    bool waits = false;
    std::size_t bytes = 0;
    int told = 0;
    multicast_fate fate = multicast_fate::not_sent;
    bool written = false, back = false;
  };
  awaited_list list;
  std::deque<mine> all;
  std::deque<mine*> queue, flying, to_tell;
  std::size_t room = 0;
  int clock = 0;
  const auto fail = [&](awaited& one) {
    list.fail(one, why);
    for (auto& m : all) {
      if (m.one == &one) {
        to_tell.push_back(&m);
        std::erase_if(queue, [&m](const mine* q) { return q == &m && !m.written; });
      }
    }
  };
  const auto sweep = [&] {
    const std::size_t freed = list.sweep();
    RC_ASSERT(freed <= room);
    room -= freed;
    for (auto& m : all) {
      m.one = m.told != 0 && (m.back || !m.written) ? nullptr : m.one;  // its memory may be another's now
    }
  };
  const auto steps = *rc::gen::container<std::vector<int>>(120, rc::gen::inRange(0, 9));
  for (const int step : steps) {
    ++clock;
    if (step <= 2) {
      mine& m = all.emplace_back();
      m.waits = step != 2;
      m.bytes = static_cast<std::size_t>(clock);
      if (m.waits) {
        m.one = &list.add(m.bytes, at(clock + step * 30), [&m](const multicast_outcome& o) {
          ++m.told;
          m.fate = o.fate;
        });
        room += m.bytes + awaited_list::overhead;
      }
      queue.push_back(&m);
    } else if (step <= 4 && !queue.empty()) {
      mine& m = *queue.front();
      queue.pop_front();
      m.written = true;
      list.written(m.waits ? m.one : nullptr);
      flying.push_back(&m);
    } else if (step <= 6 && !flying.empty()) {
      mine& m = *flying.front();
      flying.pop_front();
      m.back = true;
      awaited* const one = list.came_back();
      RC_ASSERT(one == (m.waits ? m.one : nullptr));
      if (one != nullptr && !one->decided()) {
        awaited_list::confirm(*one, 1);
        to_tell.push_back(&m);
      }
    } else if (step == 7) {
      list.expire(at(clock), fail);
    } else if (!to_tell.empty()) {
      to_tell.front()->one->tell();
      to_tell.pop_front();
      sweep();
    }
  }
  list.each_open(fail);
  list.close_window();
  for (auto* m : to_tell) {
    m->one->tell();
  }
  sweep();
  RC_ASSERT(room == 0U);
  for (const auto& m : all) {
    RC_ASSERT(m.told == (m.waits ? 1 : 0));
    if (m.waits && m.fate == multicast_fate::confirmed) {
      RC_ASSERT(m.back);
    }
    if (m.waits && m.fate == multicast_fate::not_sent) {
      RC_ASSERT(!m.back);
    }
  }
}

}  // namespace
