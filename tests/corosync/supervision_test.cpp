// A stock daemon is killed and restarted under a supervised handle, with stock libcpg beside it for
// comparison.
#include <corosync/cpg.h>

#include <poll.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "support/command.hpp"
#include "support/world.hpp"

namespace cpgring::test {
namespace {

ended control(const char* verb) { return child({std::getenv("COROSYNC_CONTROL"), verb}).wait(); }

/// A handle of stock libcpg. Its own messages return after everything that the daemon took before.
class stock_handle {
 public:
  explicit stock_handle(const std::string& group) {
    cpg_model_v1_data_t model{};
    model.model = CPG_MODEL_V1;
    model.cpg_deliver_fn = [](cpg_handle_t, const cpg_name*, std::uint32_t, std::uint32_t, void*,
                              std::size_t) { ++delivered; };
    EXPECT_EQ(
        ::cpg_model_initialize(&handle_, CPG_MODEL_V1, reinterpret_cast<cpg_model_data_t*>(&model), nullptr),
        CS_OK);
    cpg_name name{};
    name.length = static_cast<std::uint32_t>(group.copy(name.value, group.size()));
    cs_error_t joined = CS_ERR_TRY_AGAIN;
    EXPECT_TRUE(eventually([&] { return (joined = ::cpg_join(handle_, &name)) != CS_ERR_TRY_AGAIN; }));
    EXPECT_EQ(joined, CS_OK);
  }
  ~stock_handle() { ::cpg_finalize(handle_); }
  stock_handle(const stock_handle&) = delete;
  stock_handle& operator=(const stock_handle&) = delete;

  void multicast(const std::string& text) const {
    const iovec part{const_cast<char*>(text.data()), text.size()};
    cs_error_t sent = CS_ERR_TRY_AGAIN;
    EXPECT_TRUE(eventually(
        [&] { return (sent = ::cpg_mcast_joined(handle_, CPG_TYPE_AGREED, &part, 1)) != CS_ERR_TRY_AGAIN; }));
    EXPECT_EQ(sent, CS_OK);
  }
  [[nodiscard]] bool hung_up() const {
    pollfd p{-1, POLLIN, 0};
    return ::cpg_fd_get(handle_, &p.fd) == CS_OK && ::poll(&p, 1, 0) == 1 && (p.revents & POLLHUP) != 0;
  }
  cs_error_t dispatch(cs_dispatch_flags_t how) const { return ::cpg_dispatch(handle_, how); }
  void there_and_back() const {
    for (int i = 0; i < 20; ++i) {
      multicast("x");
      EXPECT_EQ(dispatch(CS_DISPATCH_ONE), CS_OK);
    }
  }
  inline static int delivered = 0;

 private:
  cpg_handle_t handle_ = 0;
};

struct supervised : ::testing::TestWithParam<wakeup> {};

TEST_P(supervised, gets_all_delivered_messages_and_rejoins_a_restarted_daemon) {
  if (std::getenv("COROSYNC_CONTROL") == nullptr) {
    GTEST_SKIP() << "needs a corosync that it may kill: scripts/with-corosync";
  }
  world w(GetParam());
  std::vector<std::string> heard;
  auto o = w.options(world::fresh_group());
  o.supervision.reconnect = true;
  callbacks calls;
  calls.on_message = [&](handle&, const message& m) { heard.push_back("message " + std::string(m.text())); };
  calls.on_state = [&](handle&, const state_change& s) { heard.emplace_back(to_string(s.to)); };
  calls.on_restored = [&](handle&, const restoration&) { heard.emplace_back("restored"); };
  const auto has = [&](const std::string& what, std::ptrdiff_t times) {
    return std::count(heard.begin(), heard.end(), what) >= times;
  };
  auto opened = w.loop().open(o, std::move(calls));
  ASSERT_TRUE(opened);
  ASSERT_TRUE(w.until([&] { return has("joined", 1); }));
  heard.clear();
  {
    const stock_handle stock(world::fresh_group("stock")), observer(world::fresh_group("observer"));
    for (int i = 0; i < 50; ++i) {
      ASSERT_TRUE(opened->multicast(fmt::format("{}", i)));
      stock.multicast(fmt::format("{}", i));
    }
    observer.there_and_back();
    stock_handle::delivered = 0;
    ASSERT_EQ(control("kill").status, 0);
    ASSERT_TRUE(eventually([&] { return stock.hung_up(); }))
        << "the socket may close a little after the daemon was killed";
    // Stock libcpg discards events that it has not read.
    EXPECT_EQ(stock.dispatch(CS_DISPATCH_ALL), CS_ERR_LIBRARY);
    EXPECT_EQ(stock_handle::delivered, 0);
  }
  ASSERT_TRUE(w.until([&] { return has("lost", 1); }));
  ASSERT_EQ(heard.size(), 51U);
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(heard[static_cast<std::size_t>(i)], fmt::format("message {}", i));
  }
  EXPECT_EQ(heard.back(), "lost");
  heard.clear();

  // On another thread, because `start` returns only when the daemon answers.
  bool up = false;
  std::thread starter([&] {
    EXPECT_EQ(control("start").status, 0);
    EXPECT_TRUE(w.loop().post([&up] { up = true; }));
  });
  EXPECT_TRUE(w.until([&] { return up && has("joined", 1); }));
  starter.join();
  ASSERT_GE(heard.size(), 4U);
  EXPECT_EQ(std::vector<std::string>(heard.begin(), heard.begin() + 4),
            (std::vector<std::string>{"ready", "restored", "joining", "joined"}));
  ASSERT_TRUE(opened->multicast("after"));
  EXPECT_TRUE(w.until([&] { return has("message after", 1); }));
  EXPECT_EQ(heard.back(), "message after");
}

INSTANTIATE_TEST_SUITE_P(on, supervised, ::testing::Values(wakeup::futex, wakeup::epoll),
                         [](const auto& p) { return std::string(to_string(p.param)); });

}  // namespace
}  // namespace cpgring::test
