// What is taken where io_uring is refused, and what is said about it.
#include <cerrno>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "reactor/probe.hpp"
#include "support/refused_io_uring.hpp"

namespace {

using namespace cpgring;
using cpgring::test::with_io_uring_refused;

class fallback : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(refused_with, fallback, testing::Values(EPERM, ENOSYS),
                         [](const auto& info) { return std::string(info.param == EPERM ? "EPERM" : "ENOSYS"); });

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

TEST_P(fallback, takes_epoll_and_says_why_and_what_to_change) {
  EXPECT_EQ(with_io_uring_refused(GetParam(),
                                  [] {
                                    std::string said;
                                    auto backend = reactor::choose_backend(wakeup::automatic, 64, [&](log_level, std::string_view text) {
                                      said += fmt::format("{}\n", text);
                                    });
                                    if (!backend) {
                                      return backend.error().message();
                                    }
                                    if ((*backend)->kind() != wakeup::epoll) {
                                      return std::string("took ") + std::string(to_string((*backend)->kind()));
                                    }
                                    return contains(said, "allow io_uring_setup") && contains(said, "epoll") ? std::string() : said;
                                  }),
            "");
}

TEST_P(fallback, fails_where_io_uring_is_forced_and_names_the_option) {
  for (const wakeup forced : {wakeup::futex, wakeup::socket}) {
    EXPECT_EQ(with_io_uring_refused(GetParam(),
                                    [forced] {
                                      auto backend = reactor::choose_backend(forced, 64, {});
                                      if (backend) {
                                        return std::string("it was made");
                                      }
                                      const std::string text = backend.error().message();
                                      return backend.error() == errc::unsupported_kernel && contains(text, to_string(forced))
                                                 ? std::string()
                                                 : text;
                                    }),
              "");
  }
}

TEST_P(fallback, still_gives_epoll_to_whoever_asks_for_it) {
  EXPECT_EQ(with_io_uring_refused(GetParam(),
                                  [] {
                                    auto backend = reactor::choose_backend(wakeup::epoll, 64, {});
                                    return backend ? std::string() : backend.error().message();
                                  }),
            "");
}

TEST_P(fallback, is_what_a_probe_reports) {
  EXPECT_EQ(with_io_uring_refused(GetParam(),
                                  [] {
                                    const auto report = reactor::probe();
                                    std::string all;
                                    for (const auto& line : report.lines) {
                                      all += line + '\n';
                                    }
                                    return report.backend == wakeup::epoll && report.ring_setup == "refused" &&
                                                   contains(all, "allow io_uring_setup")
                                               ? std::string()
                                               : all;
                                  }),
            "");
}

}  // namespace
