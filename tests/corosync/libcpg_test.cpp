// cpgring handles and stock libcpg in one group get the same messages in the same order, and the same views.
// Runs on stock corosync and on `cpgring serve --name cpg`.
#include <signal.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <sstream>

#include <fmt/format.h>

#include "support/command.hpp"
#include "support/world.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::test;

std::uint64_t hash(std::span<const std::byte> data) {
  std::uint64_t h = 1469598103934665603U;
  for (const std::byte b : data) {
    h = (h ^ static_cast<std::uint64_t>(b)) * 1099511628211U;
  }
  return h;
}

std::vector<std::byte> pattern(long index, std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t k = 0; k < size; ++k) {
    bytes[k] = static_cast<std::byte>(static_cast<unsigned long>(index) * 31 + k);
  }
  return bytes;
}

std::vector<std::string> lines_with(const std::string& text, std::string_view start) {
  std::vector<std::string> found;
  std::istringstream all(text);
  for (std::string line; std::getline(all, line);) {
    if (line.starts_with(start)) {
      found.push_back(line);
    }
  }
  return found;
}

/// The cpgring side: a handle with 1 MiB rings that records events in the format that the peer prints.
struct ours {
  world w;
  std::string group = world::fresh_group("libcpg");
  std::vector<std::string> messages, views;
  handle self;
  bool joined = false, left = false;
  std::size_t members = 0;

  void join() {
    callbacks calls;
    calls.on_message = [this](handle&, const message& m) {
      messages.push_back(
          fmt::format("message {} {} {:016x}", m.sender_pid(), m.bytes().size(), hash(m.bytes())));
    };
    calls.on_view = [this](handle&, const view& v) {
      if (v.cause != view_cause::membership) {
        return;
      }
      std::string line = "view";
      for (const auto& m : v.members) {
        line += fmt::format(" {}", m.pid);
      }
      for (const auto& m : v.joined) {
        line += fmt::format(" +{}/{}", m.pid, static_cast<unsigned>(m.why));
      }
      for (const auto& m : v.left) {
        line += fmt::format(" -{}/{}", m.pid, static_cast<unsigned>(m.why));
      }
      views.push_back(line);
      members = v.members.size();
    };
    calls.on_state = [this](handle&, const state_change& s) {
      joined = joined || s.to == handle_state::joined;
      left = left || s.to == handle_state::left;
      if (s.cause != nullptr) {
        ADD_FAILURE() << s.cause->message();
      }
    };
    auto o = w.options(group);
    o.ring_bytes = 1 << 20;
    auto opened = w.loop().open(o, std::move(calls));
    ASSERT_TRUE(opened);
    self = *opened;
    ASSERT_TRUE(w.until([this] { return joined; }));
  }
  void send(long count, std::size_t size) {
    for (long i = 0; i < count; ++i) {
      const auto payload = pattern(i, size);
      while (true) {
        auto sent = self.multicast(payload);
        if (sent) {
          break;
        }
        ASSERT_EQ(sent.error(), errc::try_again) << sent.error().message();
        ASSERT_TRUE(w.loop().dispatch(mode::blocking, budget{64, 0, std::chrono::milliseconds(1)}));
      }
    }
  }
  std::vector<std::string> peer_line(long wait_for, long count, std::size_t size, long expect,
                                     const char* end) {
    return {CPGRING_PEERS_DIR "/member",
            group,
            std::to_string(wait_for),
            std::to_string(count),
            std::to_string(size),
            std::to_string(expect),
            end};
  }
};

struct exchange {
  long from_us, from_peer;
  std::size_t size;
};
void PrintTo(const exchange& e, std::ostream* os) {
  *os << e.from_us << " and " << e.from_peer << " of " << e.size;
}

class libcpg_exchange : public ::testing::TestWithParam<exchange> {};
INSTANTIATE_TEST_SUITE_P(of, libcpg_exchange,
                         ::testing::Values(exchange{50, 50, 0}, exchange{50, 50, 1},
                                           exchange{20000, 20000, 64}, exchange{200, 200, 60000},
                                           exchange{20, 20, 1047552}, exchange{3, 3, 3145728},
                                           exchange{2, 0, 1047553}, exchange{0, 2, 5000001}));

TEST_P(libcpg_exchange, delivers_the_same_messages_in_the_same_order_to_both) {
  const auto& e = GetParam();
  ours us;
  us.join();
  child peer(us.peer_line(2, e.from_peer, e.size, e.from_us + e.from_peer, "leave"));
  ASSERT_TRUE(us.w.until([&] { return us.members == 2; }));
  us.send(e.from_us, e.size);
  const auto all = static_cast<std::size_t>(e.from_us + e.from_peer);
  ASSERT_TRUE(us.w.until([&] { return us.messages.size() == all && us.members == 1; })) << us.messages.size();
  const auto outcome = peer.wait();
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(us.messages, lines_with(outcome.out, "message"));
  const auto from = [&](std::uint32_t pid) {
    std::vector<std::string> some;
    for (const auto& line : us.messages) {
      if (line.starts_with(fmt::format("message {} ", pid))) {
        some.push_back(line);
      }
    }
    return some;
  };
  const auto sent = [&](std::uint32_t pid, long count) {
    std::vector<std::string> some;
    for (long i = 0; i < count; ++i) {
      some.push_back(fmt::format("message {} {} {:016x}", pid, e.size, hash(pattern(i, e.size))));
    }
    return some;
  };
  EXPECT_EQ(from(us.self.pid()), sent(us.self.pid(), e.from_us)) << "in the order of sending";
  EXPECT_EQ(from(static_cast<std::uint32_t>(peer.pid())),
            sent(static_cast<std::uint32_t>(peer.pid()), e.from_peer));
}

TEST(libcpg_peer, and_cpgring_see_the_same_views_with_the_same_reasons) {
  ours us;
  us.join();
  {
    child peer(us.peer_line(2, 0, 0, 0, "leave"));
    ASSERT_TRUE(us.w.until([&] { return us.views.size() == 3; }));
    const auto outcome = peer.wait();
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_EQ(std::vector<std::string>(us.views.begin() + 1, us.views.end()),
              lines_with(outcome.out, "view"));
    EXPECT_TRUE(us.views.back().ends_with("/2")) << us.views.back();
  }
  {
    child peer(us.peer_line(2, 0, 0, 0, "finalize"));
    ASSERT_TRUE(us.w.until([&] { return us.views.size() == 5; }));
    EXPECT_TRUE(us.views.back().ends_with("/5"))
        << "finalize without leave has reason process_down: " << us.views.back();
  }
  {
    child peer(us.peer_line(2, 0, 0, 0, "stay"));
    ASSERT_TRUE(us.w.until([&] { return us.members == 2; }));
    peer.signal(SIGKILL);
    ASSERT_TRUE(us.w.until([&] { return us.members == 1; }));
    EXPECT_TRUE(us.views.back().ends_with("/5")) << us.views.back();
  }
  child peer(us.peer_line(2, 0, 0, 0, "stay"));
  ASSERT_TRUE(us.w.until([&] { return us.members == 2; }));
  ASSERT_TRUE(us.self.leave());
  ASSERT_TRUE(us.w.until([&] { return us.left; }));
  EXPECT_TRUE(peer.until_it_says(fmt::format("-{}/2", us.self.pid())));
}

TEST(libcpg_peer, sees_process_down_after_the_last_messages_of_an_engine_that_ends) {
  ours us;
  us.join();
  child peer(us.peer_line(2, 0, 0, 0, "stay"));
  ASSERT_TRUE(us.w.until([&] { return us.members == 2; }));
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(us.self.multicast(std::string_view("last words")));
  }
  us.w.end_engine();
  EXPECT_TRUE(peer.until_it_says(fmt::format("-{}/5", us.self.pid())));
  peer.signal(SIGKILL);
  EXPECT_EQ(lines_with(peer.wait().out, "message").size(), 5U)
      << "everything multicast before the end arrives";
}

TEST(libcpg_peer, lists_cpgring_members_by_membership_and_by_iteration) {
  ours us;
  us.join();
  child peer(us.peer_line(2, 0, 0, 0, "ask"));
  const auto pid = peer.pid();
  ASSERT_TRUE(us.w.until([&] { return us.views.size() >= 3; }));
  const auto outcome = peer.wait();
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  const auto members = lines_with(outcome.out, "members");
  ASSERT_EQ(members.size(), 1U);
  EXPECT_NE((members[0] + ' ').find(fmt::format(" {} ", us.self.pid())), std::string::npos) << members[0];
  EXPECT_NE((members[0] + ' ').find(fmt::format(" {} ", pid)), std::string::npos) << members[0];
  const auto listed = lines_with(outcome.out, "listed " + us.group);
  EXPECT_EQ(listed.size(), 2U) << outcome.out;
  EXPECT_EQ(lines_with(outcome.out, "end").at(0), "end 27");
}

TEST(libcpg_peer, is_listed_by_cpgring_queries) {
  ours us;
  us.join();
  child peer(us.peer_line(2, 0, 0, 0, "stay"));
  const auto pid = static_cast<std::uint32_t>(peer.pid());
  ASSERT_TRUE(us.w.until([&] { return us.members == 2; }));
  std::optional<result<std::vector<member_address>>> members;
  std::optional<result<std::vector<group_entry>>> groups;
  ASSERT_TRUE(us.self.query_members(us.group, [&](auto r) { members = std::move(r); }));
  ASSERT_TRUE(us.self.query_groups([&](auto r) { groups = std::move(r); }));
  ASSERT_TRUE(us.w.until([&] { return members && groups; }));
  ASSERT_TRUE(*members && *groups);
  EXPECT_EQ((*members)->size(), 2U);
  EXPECT_TRUE(std::any_of((*members)->begin(), (*members)->end(),
                          [&](const member_address& m) { return m.pid == pid; }));
  EXPECT_TRUE(std::any_of((*groups)->begin(), (*groups)->end(),
                          [&](const group_entry& g) { return g.group == us.group && g.pid == pid; }));
}

TEST(cpgtool, lists_our_groups) {
  ours us;
  us.join();
  const auto outcome = child({"corosync-cpgtool"}).wait();
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  bool found = false;
  std::istringstream all(outcome.out);
  std::string group;
  for (std::string line; std::getline(all, line);) {
    if (!line.empty() && line[0] != '\t' && line[0] != ' ') {
      group = line;
    }
    found = found || (line.find(std::to_string(us.self.pid())) != std::string::npos &&
                      group.find(us.group) != std::string::npos);
  }
  EXPECT_TRUE(found) << outcome.out;
}

}  // namespace
