#include "support/filler.hpp"

#include <fmt/format.h>

namespace cpgring::test {

filler::filler(world& w, witness& there, const std::string& group, std::uint32_t pid) {
  callbacks c;
  c.on_message = [this](handle&, const message&) { ++received_; };
  c.on_state = [this](handle&, const state_change& s) { joined_ = s.to == handle_state::joined; };
  handle_options o = w.options(group);
  cpgring::testing::simulate_pid(o, pid);
  auto opened = engine_.open(o, std::move(c));
  EXPECT_TRUE(opened);
  self_ = *opened;
  EXPECT_TRUE(until([this] { return joined_; }));
  const std::string sign = fmt::format("+{}", pid);
  EXPECT_TRUE(
      w.until([&] { return !there.views.empty() && there.views.back().find(sign) != std::string::npos; }));
}

bool filler::until(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end ||
        !engine_.dispatch(mode::blocking, budget{64, 0, std::chrono::milliseconds(5)})) {
      return condition();
    }
  }
  return true;
}

void filler::fill(int count, const std::string& prefix, std::size_t size) {
  const int until_received = received_ + count;
  for (int i = 0; i < count; ++i) {
    std::string text = fmt::format("{}{}", prefix, i);
    text.resize(std::max(text.size(), size), '.');
    result<void> sent;
    ASSERT_TRUE(
        until([&] { return (sent = self_.multicast(text)).has_value() || sent.error() != errc::try_again; }));
    ASSERT_TRUE(sent) << sent.error().message();
  }
  ASSERT_TRUE(until([&] { return received_ >= until_received; }));
  // The service answers this query after it has delivered the last of them.
  bool answered = false;
  ASSERT_TRUE(self_.query_local_node([&](const result<std::uint32_t>& r) { answered = r.has_value(); }));
  ASSERT_TRUE(until([&] { return answered; }));
}

}  // namespace cpgring::test
