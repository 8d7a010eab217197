// Sending: sizes, pieces, order, zero-copy buffers.
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "stage.hpp"

namespace conformance {
namespace {

void add_message_cases() {
  for (const std::size_t size : {0UL, 1UL, 7UL, 8UL, 63UL, 64UL, 1000UL, 65536UL, 1047551UL, 1047552UL,
                                 1047553UL, 1048577UL, 3000001UL}) {
    add("send/bytes_" + std::to_string(size), [size] {
      const auto h = open_joined();
      std::string text(size, 0);
      for (std::size_t i = 0; i < size; ++i) {
        text[i] = static_cast<char>('a' + i * 7 % 26);
      }
      bool same = false, aligned = false;
      the.on_message = [&](cpg_handle_t, void* msg, std::size_t got) {
        same = got == size && (size == 0 || std::memcmp(msg, text.data(), size) == 0);
        aligned = reinterpret_cast<std::uintptr_t>(msg) % 8 == 0;
        if (got != 0) {
          static_cast<char*>(msg)[got - 1] = 'W';  // programs modify the bytes in place
        }
      };
      say("send %d", send(h, text));
      until(h, [] { return the.messages == 1; });
      say("%s, %s", same ? "the same" : "changed", aligned ? "aligned" : "not aligned");
    });
  }
  for (const unsigned count : {0U, 1U, 2U, 17U, 63U, 64U, 200U}) {
    add("send/pieces_" + std::to_string(count), [count] {
      const auto h = open_joined();
      std::vector<std::string> texts;
      for (unsigned i = 0; i < count; ++i) {
        texts.push_back(std::to_string(i % 10));
      }
      std::vector<iovec> parts;
      for (auto& t : texts) {
        parts.push_back({t.data(), t.size()});
      }
      say("send %d", cpg_mcast_joined(h, CPG_TYPE_AGREED, parts.data(), count));
      until(h, [] { return the.messages == 1; });
      say("bytes %zu", the.bytes);
    });
  }
  add("send/empty_pieces_between", [] {
    const auto h = open_joined();
    char a[] = "ab", b[] = "cd";
    iovec parts[] = {{nullptr, 0}, {a, 2}, {nullptr, 0}, {b, 2}, {nullptr, 0}};
    say("send %d", cpg_mcast_joined(h, CPG_TYPE_AGREED, parts, 5));
    until(h, [] { return the.messages == 1; });
  });
  add("send/large_in_pieces", [] {
    const auto h = open_joined();
    std::string a(900000, 'a'), b(1400000, 'b'), c(7, 'c');
    iovec parts[] = {{a.data(), a.size()}, {b.data(), b.size()}, {c.data(), c.size()}};
    bool same = false;
    the.on_message = [&](cpg_handle_t, void* msg, std::size_t got) {
      same = got == a.size() + b.size() + c.size() && std::string(static_cast<char*>(msg), got) == a + b + c;
    };
    say("send %d", cpg_mcast_joined(h, CPG_TYPE_AGREED, parts, 3));
    until(h, [] { return the.messages == 1; });
    say("%s", same ? "the same" : "changed");
  });
  for (const int guarantee : {0, 1, 2, 3, 77}) {
    add("send/guarantee_" + std::to_string(guarantee), [guarantee] {
      const auto h = open_joined();
      char text[] = "x";
      iovec part{text, 1};
      say("send %d", cpg_mcast_joined(h, static_cast<cpg_guarantee_t>(guarantee), &part, 1));
      until(h, [] { return the.messages == 1; });
    });
  }
  add("send/not_joined", [] {
    const auto h = open_handle();
    say("send %d", send(h, "x"));
    wait_for_deliveries(h);
    say("dispatch %d, messages %d", cpg_dispatch(h, CS_DISPATCH_ALL), the.messages);
  });
  add("send/right_after_the_join", [] {
    const auto h = open_handle();
    say("join %d", join(h, &group));
    say("send %d", send(h, "early"));
    until(h, [] { return the.messages == 1; });
  });
  add("send/from_a_callback", [] {
    const auto h = open_joined();
    the.on_message = [](cpg_handle_t of, void*, std::size_t) {
      if (the.messages < 4) {
        say("  send %d", send(of, "again" + std::to_string(the.messages)));
      }
    };
    send(h, "first");
    until(h, [] { return the.messages == 4; });
  });
  add("send/three_thousand_in_order", [] {
    const auto h = open_joined();
    the.loud = false;
    int expected = 0, wrong = 0;
    the.on_message = [&](cpg_handle_t, void* msg, std::size_t size) {
      wrong += std::string(static_cast<char*>(msg), size) != std::to_string(expected++) ? 1 : 0;
    };
    for (int i = 0; i < 3000; ++i) {
      send(h, std::to_string(i));
      cpg_dispatch(h, CS_DISPATCH_ALL);
    }
    until(h, [] { return the.messages == 3000; });
    say("messages %d, wrong %d", the.messages, wrong);
  });
  add("send/flow_control_state", [] {
    cpg_flow_control_state_t state = CPG_FLOW_CONTROL_ENABLED;
    const auto h = open_joined();
    say("%d %d", cpg_flow_control_state_get(h, &state), static_cast<int>(state));
  });
  add("send/max_atomic_msgsize", [] {
    std::uint32_t size = 0;
    const auto h = open_handle();
    say("%d %u", cpg_max_atomic_msgsize_get(h, &size), size);
  });
}

void add_buffers() {
  for (const std::size_t size : {1UL, 1000UL, 1047552UL, 1048392UL}) {
    add("zcb/bytes_" + std::to_string(size), [size] {
      const auto h = open_joined();
      void* buffer = nullptr;
      say("alloc %d", cpg_zcb_alloc(h, size, &buffer));
      std::memset(buffer, 'z', size);
      bool same = false;
      the.on_message = [&](cpg_handle_t, void* msg, std::size_t got) {
        same = got == size && static_cast<char*>(msg)[size - 1] == 'z';
      };
      say("send %d", cpg_zcb_mcast_joined(h, CPG_TYPE_AGREED, buffer, size));
      until(h, [] { return the.messages == 1; });
      say("%s", same ? "the same" : "changed");
      say("free %d", cpg_zcb_free(h, buffer));
    });
  }
  add("zcb/is_zeroed", [] {
    const auto h = open_joined();
    void* buffer = nullptr;
    say("alloc %d", cpg_zcb_alloc(h, 10000, &buffer));
    const auto* bytes = static_cast<const char*>(buffer);
    say("%s", std::all_of(bytes, bytes + 10000, [](char c) { return c == 0; }) ? "zero" : "not zero");
  });
  add("zcb/sent_three_times", [] {
    const auto h = open_joined();
    void* buffer = nullptr;
    say("alloc %d", cpg_zcb_alloc(h, 100, &buffer));
    for (const char c : {'a', 'b', 'c'}) {
      std::memset(buffer, c, 100);
      say("send %d", cpg_zcb_mcast_joined(h, CPG_TYPE_AGREED, buffer, 5));
    }
    until(h, [] { return the.messages == 3; });
    say("free %d", cpg_zcb_free(h, buffer));
  });
  add("zcb/not_joined", [] {
    const auto h = open_handle();
    void* buffer = nullptr;
    say("alloc %d", cpg_zcb_alloc(h, 100, &buffer));
    say("send %d", cpg_zcb_mcast_joined(h, CPG_TYPE_AGREED, buffer, 5));
  });
  add("zcb/too_big", [] {
    const auto h = open_joined();
    void* buffer = nullptr;
    say("alloc %d", cpg_zcb_alloc(h, 2000000, &buffer));
    say("send %d", cpg_zcb_mcast_joined(h, CPG_TYPE_AGREED, buffer, 1048577));
  });
  add("zcb/of_a_foreign_buffer", [] {
    const auto h = open_joined();
    std::vector<char> buffer(10000);
    say("send %d", cpg_zcb_mcast_joined(h, CPG_TYPE_AGREED, buffer.data() + 5000, 5));
  });
}

}  // namespace

void add_messages() {
  add_message_cases();
  add_buffers();
}

}  // namespace conformance
