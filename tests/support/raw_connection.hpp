// A connection to a service without the library's checks, for requests that the library never sends.
#pragma once

#include <poll.h>

#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "ipc/handshake.hpp"
#include "support/world.hpp"

namespace cpgring::test {

inline ipc::connection raw_connect(const std::string& service, std::uint32_t ring_bytes) {
  auto begun = ipc::handshake::begin(service, ring_bytes);
  EXPECT_TRUE(begun);
  for (;;) {
    const auto step = begun->advance();
    EXPECT_TRUE(step) << step.error().message();
    if (*step == ipc::handshake::step::done) {
      return std::move(*begun->finish());
    }
    pollfd readable{begun->fd(), POLLIN, 0};
    ::poll(&readable, 1, *step == ipc::handshake::step::wait_readable ? 1000 : 1);
  }
}

/// Writes one request without any check.
inline void send_raw(ipc::connection& to, std::span<const std::byte> request) {
  ASSERT_TRUE(eventually([&] { return to.writable() == ipc::writable::yes; }));
  std::byte* const at = to.reserve(static_cast<std::uint32_t>(request.size()));
  ASSERT_NE(at, nullptr);
  std::memcpy(at, request.data(), request.size());
  to.stage(static_cast<std::uint32_t>(request.size()));
  ASSERT_TRUE(to.flush());
}

/// Writes one request and returns its answer; empty: none arrived.
inline std::vector<std::byte> ask_raw(ipc::connection& to, std::span<const std::byte> request) {
  send_raw(to, request);
  auto& ring = to.responses();
  ipc::frame answer;
  if (!eventually([&] { return ring.collect() != 0; }) || ring.next(answer) != ipc::read_result::frame) {
    return {};
  }
  std::vector<std::byte> copy(answer.data, answer.data + answer.size);
  ring.reclaim(1);
  return copy;
}

}  // namespace cpgring::test
