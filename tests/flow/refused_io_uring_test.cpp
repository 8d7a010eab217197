// The whole engine, and the command, where io_uring is refused: slower, and nothing else.
#include "support/refused_io_uring.hpp"

#include <cerrno>

#include <fmt/format.h>

#include "support/command.hpp"
#include "support/world.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::test;

class flow_refused_io_uring : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(with, flow_refused_io_uring, testing::Values(EPERM, ENOSYS),
                         [](const auto& info) { return std::string(info.param == EPERM ? "EPERM" : "ENOSYS"); });

TEST_P(flow_refused_io_uring, an_engine_works_on_epoll_and_says_so) {
  EXPECT_EQ(with_io_uring_refused(GetParam(),
                                  [] {
                                    world w;
                                    witness a;
                                    open_joined(w, a, world::fresh_group());
                                    if (testing::Test::HasFailure() || !a.self.multicast("through") ||
                                        !w.until([&] { return a.messages.size() == 1; })) {
                                      return std::string("no message came");
                                    }
                                    if (w.loop().stats().backend != wakeup::epoll) {
                                      return std::string("took ") + std::string(to_string(w.loop().stats().backend));
                                    }
                                    return w.said("allow io_uring_setup") ? std::string() : std::string("said nothing");
                                  }),
            "");
}

TEST_P(flow_refused_io_uring, a_forced_backend_fails_before_anything_is_open) {
  EXPECT_EQ(with_io_uring_refused(GetParam(),
                                  [] {
                                    world w(wakeup::futex);
                                    auto did = w.loop().dispatch(mode::all);
                                    if (did) {
                                      return std::string("it was dispatched");
                                    }
                                    return did.error() == errc::unsupported_kernel ? std::string() : did.error().message();
                                  }),
            "");
}

TEST_P(flow_refused_io_uring, the_command_loads_and_probes) {
  EXPECT_EQ(with_io_uring_refused(GetParam(),
                                  [] {
                                    std::vector<std::string> line{"load",   "--handles", "20",     "--messages", "2000",
                                                                  "--rate", "0",         "--json", "-"};
                                    if (!world::embedded()) {
                                      line.insert(line.end(), {"--service", "cpg"});
                                    }
                                    const auto load = cpgring_command(line);
                                    const auto probe = cpgring_command({"probe"});
                                    const bool good = load.status == 0 && load.out.find("\"epoll\"") != std::string::npos &&
                                                      probe.status == 0 && probe.out.find("refused") != std::string::npos;
                                    return good ? std::string() : fmt::format("{} {} {} {}", load.status, load.out, load.err, probe.out);
                                  }),
            "");
}

}  // namespace
