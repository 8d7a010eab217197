// The backend chosen where io_uring is refused, and the message about it.
#include <poll.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "reactor/probe.hpp"
#include "reactor/reactor.hpp"
#include "reactor/uring.hpp"
#include "support/refused_io_uring.hpp"
#include "unit/reactor/fake_source.hpp"

namespace {

using namespace cpgring;
using cpgring::reactor::test::fake_source;
using cpgring::reactor::test::patience;
using cpgring::test::in_a_child;
using cpgring::test::io_uring_call;
using cpgring::test::refuse_io_uring;
using cpgring::test::with_io_uring_refused;

class fallback : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(refused_with, fallback, ::testing::Values(EPERM, ENOSYS), [](const auto& info) {
  return std::string(info.param == EPERM ? "EPERM" : "ENOSYS");
});

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

TEST_P(fallback, chooses_epoll_and_logs_reason_and_remedy) {
  EXPECT_EQ(with_io_uring_refused(
                GetParam(),
                [] {
                  std::string said;
                  auto backend = reactor::choose_backend(
                      wakeup::automatic, 64,
                      [&](log_level, std::string_view text) { said += fmt::format("{}\n", text); });
                  if (!backend) {
                    return backend.error().message();
                  }
                  if ((*backend)->kind() != wakeup::epoll) {
                    return std::string("chose ") + std::string(to_string((*backend)->kind()));
                  }
                  return contains(said, "allow io_uring_setup") && contains(said, "epoll") ? std::string()
                                                                                           : said;
                }),
            "");
}

TEST_P(fallback, fails_if_io_uring_is_forced_and_names_the_option) {
  for (const wakeup forced : {wakeup::futex}) {
    EXPECT_EQ(with_io_uring_refused(GetParam(),
                                    [forced] {
                                      auto backend = reactor::choose_backend(forced, 64, {});
                                      if (backend) {
                                        return std::string("the backend was made");
                                      }
                                      const std::string text = backend.error().message();
                                      return backend.error() == errc::unsupported_kernel &&
                                                     contains(text, to_string(forced))
                                                 ? std::string()
                                                 : text;
                                    }),
              "");
  }
}

TEST_P(fallback, makes_epoll_on_request) {
  EXPECT_EQ(with_io_uring_refused(GetParam(),
                                  [] {
                                    auto backend = reactor::choose_backend(wakeup::epoll, 64, {});
                                    return backend ? std::string() : backend.error().message();
                                  }),
            "");
}

TEST_P(fallback, is_reported_by_probe) {
  EXPECT_EQ(with_io_uring_refused(GetParam(),
                                  [] {
                                    const auto report = reactor::probe();
                                    std::string all;
                                    for (const auto& line : report.lines) {
                                      all += line + '\n';
                                    }
                                    return report.backend == wakeup::epoll &&
                                                   report.ring_setup == "refused" &&
                                                   contains(all, "allow io_uring_setup")
                                               ? std::string()
                                               : all;
                                  }),
            "");
}

// --- io_uring_setup is allowed, a later call is refused

class half_refused : public ::testing::TestWithParam<std::tuple<io_uring_call, int>> {};
INSTANTIATE_TEST_SUITE_P(call, half_refused,
                         ::testing::Combine(::testing::Values(io_uring_call::enter, io_uring_call::reg),
                                            ::testing::Values(EPERM, ENOSYS, EACCES, ENXIO)),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param) == io_uring_call::enter ? "enter_"
                                                                                              : "register_") +
                                  ::strerrorname_np(std::get<1>(info.param));
                         });

TEST_P(half_refused, chooses_epoll) {
  const auto [which, code] = GetParam();
  EXPECT_EQ(with_io_uring_refused(
                code,
                [which = which] {
                  std::string said;
                  auto backend = reactor::choose_backend(
                      wakeup::automatic, 64,
                      [&](log_level, std::string_view text) { said += fmt::format("{}\n", text); });
                  if (!backend || (*backend)->kind() != wakeup::epoll) {
                    return "not epoll: " + said;
                  }
                  return which == io_uring_call::reg || contains(said, "let io_uring_enter through")
                             ? std::string()
                             : said;
                },
                which),
            "");
}

TEST_P(half_refused, is_an_error_if_io_uring_is_forced) {
  const auto [which, code] = GetParam();
  for (const wakeup forced : {wakeup::futex}) {
    EXPECT_EQ(with_io_uring_refused(
                  code,
                  [forced] {
                    auto backend = reactor::choose_backend(forced, 64, {});
                    if (backend) {
                      return std::string("the backend was made");
                    }
                    return backend.error() == errc::unsupported_kernel ? std::string()
                                                                       : backend.error().message();
                  },
                  which),
              "");
  }
}

TEST_P(half_refused, is_reported_by_probe) {
  const auto [which, code] = GetParam();
  EXPECT_EQ(with_io_uring_refused(
                code,
                [] {
                  const auto report = reactor::probe();
                  return report.backend == wakeup::epoll ? std::string()
                                                         : std::string(to_string(report.backend));
                },
                which),
            "");
}

// --- io_uring_enter is refused later: a sandbox that is applied after the start

using loop = reactor::reactor;

std::unique_ptr<loop> reactor_with(wakeup backend) {
  reactor::reactor_options options;
  options.backend = backend;
  options.expected_sources = 16;
  auto made = loop::create(options);
  return made ? std::move(*made) : nullptr;
}

/// Drives the reactor as an engine does, until `done` or until a refused backend cannot be replaced. Returns
/// the error; empty: done.
std::string drive(loop& r, const std::function<bool()>& done) {
  const auto end = base::clock::now() + patience;
  while (base::clock::now() < end) {
    r.reap();
    if (r.refused()) {
      if (auto ok = r.fall_back(); !ok) {
        return ok.error().message();
      }
    }
    const auto served = r.serve({});
    if (done()) {
      return {};
    }
    if (!served.more) {
      r.rest(end);
    }
  }
  return "timeout";
}

class closed_later : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(refused_with, closed_later, ::testing::Values(EPERM, ENOSYS, EACCES, ENXIO),
                         [](const auto& info) { return std::string(::strerrorname_np(info.param)); });

TEST_P(closed_later, continues_with_epoll) {
  EXPECT_EQ(in_a_child([code = GetParam()]() -> std::string {
              const auto r = reactor_with(wakeup::automatic);
              fake_source before, later;
              if (!r || !r->add(before)) {
                return "no reactor";
              }
              before.service.post();
              if (auto why = drive(*r, [&] { return before.taken == 1; }); !why.empty()) {
                return "before: " + why;
              }
              if (!refuse_io_uring(io_uring_call::enter, code)) {
                return "no filter";
              }
              std::thread service([&] { before.service.post(); });
              // Events found before the reactor sleeps need no system call, so the fallback may come later.
              auto why = drive(*r, [&] { return before.taken == 2 && r->backend() == wakeup::epoll; });
              service.join();
              if (!why.empty()) {
                return "after: " + why;
              }
              if (!r->add(later)) {
                return "adding a source fails";
              }
              later.service.hang_up();
              why = drive(*r, [&] { return later.hang_ups == 1; });
              r->remove(later);
              r->remove(before);
              return why.empty() && before.service.waiters() == 0 ? why : "a new source: " + why;
            }),
            "");
}

TEST_P(closed_later, keeps_wake_ups_and_the_pollable_descriptor) {
  EXPECT_EQ(in_a_child([code = GetParam()]() -> std::string {
              const auto r = reactor_with(wakeup::automatic);
              fake_source one;
              if (!r || !r->add(one)) {
                return "no reactor";
              }
              r->reap();
              static_cast<void>(r->serve({}));
              r->prepare_foreign_wait();
              const int fd = r->pollable_fd();
              if (!refuse_io_uring(io_uring_call::enter, code)) {
                return "no filter";
              }
              const auto turn = [&] {
                r->reap();
                if (r->refused() && !r->fall_back()) {
                  return false;
                }
                static_cast<void>(r->serve({}));
                r->prepare_foreign_wait();
                return !r->refused();
              };
              const auto readable = [fd] {
                pollfd p{fd, POLLIN, 0};
                return ::poll(&p, 1, 60000) == 1;
              };
              one.service.post();
              for (int i = 0; i < 10 && one.taken == 0 && readable(); ++i) {
                if (!turn() && !turn()) {
                  return "the turn fails";
                }
              }
              if (one.taken != 1 || r->pollable_fd() != fd || r->backend() != wakeup::epoll) {
                return fmt::format("taken {}, descriptor {} was {}", one.taken, r->pollable_fd(), fd);
              }
              r->wake();
              const bool woken = readable();
              r->remove(one);
              return woken ? "" : "wake() does not make the descriptor readable";
            }),
            "");
}

TEST_P(closed_later, is_a_permanent_error_if_io_uring_is_forced) {
  for (const wakeup forced : {wakeup::futex}) {
    EXPECT_EQ(in_a_child([code = GetParam(), forced]() -> std::string {
                const auto r = reactor_with(forced);
                fake_source one;
                if (!r || !r->add(one) || !refuse_io_uring(io_uring_call::enter, code)) {
                  return "no reactor or no filter";
                }
                for (int i = 0; i < 2; ++i) {
                  one.service.post();
                  const std::string why = drive(*r, [] { return false; });
                  if (!contains(why, "let io_uring_enter through")) {
                    return why;
                  }
                }
                r->remove(one);
                return {};
              }),
              "");
  }
}

TEST_P(closed_later, preparing_requests_does_not_block) {
  EXPECT_EQ(in_a_child([code = GetParam()]() -> std::string {
              auto ring = reactor::uring::create(8, 16);
              if (!ring || !refuse_io_uring(io_uring_call::enter, code)) {
                return "no ring or no filter";
              }
              for (int i = 0; i < 100; ++i) {
                ::io_uring_prep_nop((*ring)->next_sqe());
              }
              (*ring)->wait(std::nullopt);
              return (*ring)->fault() == code ? "" : fmt::format("the fault is {}", (*ring)->fault());
            }),
            "");
}

}  // namespace
