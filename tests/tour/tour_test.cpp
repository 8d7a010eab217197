// The files on a message's call stack are those that scripts/tour prints.
//
// The engine is compiled here without optimisation, so that each function has its own frame. The linker wraps
// ring_writer::stage(), which commits a request to the ring, with a function of this file.
#include <dlfcn.h>
#include <execinfo.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <cpgring/cpgring.hpp>

#include "ipc/ring_writer.hpp"
#include "support/command.hpp"

namespace {

using namespace cpgring;
using std::chrono::seconds;

std::string output_of(const std::string& command) {
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(command.c_str(), "r"), &::pclose);
  EXPECT_NE(pipe, nullptr) << command;
  std::string all;
  std::array<char, 4096> part{};
  while (pipe != nullptr && std::fgets(part.data(), part.size(), pipe.get()) != nullptr) {
    all += part.data();
  }
  return all;
}

std::vector<void*> call_stack() {
  std::vector<void*> frames(128);
  frames.resize(static_cast<std::size_t>(::backtrace(frames.data(), static_cast<int>(frames.size()))));
  return frames;
}

/// "layer/file" of each frame in engine/, from the innermost on, without repetitions.
std::vector<std::string> engine_files(const std::vector<void*>& frames) {
  Dl_info self{};
  EXPECT_NE(::dladdr(reinterpret_cast<void*>(&engine_files), &self), 0);
  std::ostringstream command;
  command << "addr2line -e /proc/" << ::getpid() << "/exe" << std::hex;
  for (void* const one : frames) {
    // A return address may belong to the next source line.
    command << " 0x"
            << reinterpret_cast<std::uintptr_t>(one) - reinterpret_cast<std::uintptr_t>(self.dli_fbase) - 1;
  }
  std::istringstream lines(output_of(command.str()));
  const std::string folder = std::string(CPGRING_SOURCE_DIR) + "/engine/";
  std::vector<std::string> files;
  for (std::string line; std::getline(lines, line);) {
    const auto at = line.find(folder);
    if (at == std::string::npos) {
      continue;
    }
    std::string file = line.substr(at + folder.size());
    file = file.substr(0, file.find('.'));
    if (std::find(files.begin(), files.end(), file) == files.end()) {
      files.push_back(std::move(file));
    }
  }
  return files;
}

/// The stations `from` down to `to` of the tour, without those in `left_out`: "layer/file" each.
std::vector<std::string> stations(char path, int from, int to, const std::vector<int>& left_out) {
  const std::string all = output_of("python3 " CPGRING_SOURCE_DIR "/scripts/tour --files");
  std::vector<std::string> found;
  for (int number = from; number >= to; --number) {
    if (std::find(left_out.begin(), left_out.end(), number) != left_out.end()) {
      continue;
    }
    const std::string name = std::string(1, path) + std::to_string(number) + ' ';
    std::istringstream lines(all);
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with(name)) {
        found.push_back(line.substr(name.size()));
      }
    }
  }
  return found;
}

/// Receives the call stacks in which this thread commits requests.
thread_local std::vector<std::vector<void*>>* committed = nullptr;
/// Receives the call stacks in which any thread commits requests.
std::vector<std::vector<void*>>* committed_anywhere = nullptr;

struct joined_handle {
  joined_handle() {
    EXPECT_TRUE(service.until_it_says("serving"));
    handle_options options;
    options.service = name;
    options.group = "tour";
    callbacks calls;
    calls.on_message = [this](handle&, const message&) {
      if (stack.empty()) {
        stack = call_stack();
      }
    };
    auto opened = loop.open(options, std::move(calls));
    EXPECT_TRUE(opened);
    member = *opened;
    EXPECT_TRUE(until([this] { return member.state() == handle_state::joined; }));
  }
  template <class Condition>
  bool until(Condition&& condition) {
    const auto end = std::chrono::steady_clock::now() + seconds(60);
    while (!condition() && std::chrono::steady_clock::now() < end) {
      EXPECT_TRUE(loop.dispatch(mode::blocking, budget{0, 0, std::chrono::milliseconds(1)}));
    }
    return condition();
  }

  const std::string name = "tour" + std::to_string(::getpid());
  test::child service{test::cpgring_line({"serve", "--name", name})};
  engine loop;
  handle member;
  std::vector<void*> stack;
};

TEST(tour, names_the_files_between_doorbell_and_callback) {
  joined_handle h;
  ASSERT_TRUE(h.member.multicast("a message"));
  ASSERT_TRUE(h.until([&] { return !h.stack.empty(); }));
  // The wait (D1), the claim (D5) and the decoding (D6) have returned before the callback runs.
  auto expected = stations('D', 8, 2, {5, 6});
  ASSERT_EQ(expected.size(), 5U);
  std::reverse(expected.begin(), expected.end());
  auto outermost_first = h.stack;
  std::reverse(outermost_first.begin(), outermost_first.end());
  auto files = engine_files(outermost_first);
  files.erase(files.begin(),
              std::find(files.begin(), files.end(), expected.front()));  // the loop around the reactor
  EXPECT_EQ(files, expected);
  EXPECT_LE(stations('D', 8, 1, {}).size(), 10U);
}

TEST(tour, names_the_files_between_multicast_and_ring) {
  joined_handle h;
  std::vector<std::vector<void*>> stacks;
  committed = &stacks;
  const auto sent = h.member.multicast("a message");
  committed = nullptr;
  ASSERT_TRUE(sent);
  ASSERT_EQ(stacks.size(), 1U);
  const auto expected = stations('C', 7, 1, {2, 3});  // the intake is not used
  ASSERT_EQ(expected.size(), 5U);
  EXPECT_EQ(engine_files(stacks[0]), expected);
  EXPECT_EQ(stations('C', 8, 8, {}), std::vector<std::string>{"ipc/ring_writer"}) << "the wrapped function";
  EXPECT_LE(stations('C', 8, 1, {}).size(), 8U);
}

TEST(tour, names_the_files_between_another_threads_multicast_and_ring) {
  joined_handle h;
  std::vector<std::vector<void*>> stacks;
  std::thread other([&] { EXPECT_TRUE(h.member.multicast("a message")); });
  other.join();
  committed_anywhere = &stacks;
  const bool came = h.until([&] { return !stacks.empty(); });
  committed_anywhere = nullptr;
  ASSERT_TRUE(came);
  const auto expected = stations('C', 7, 2, {});
  ASSERT_EQ(expected.size(), 6U);
  auto files = engine_files(stacks[0]);
  files.resize(std::min(files.size(), expected.size()));  // without the reactor and the loop around it
  EXPECT_EQ(files, expected);
}

}  // namespace

// NOLINTBEGIN: the linker's names
extern "C" {
void __real__ZN7cpgring3ipc11ring_writer5stageEj(cpgring::ipc::ring_writer* self,
                                                 std::uint32_t bytes) noexcept;
void __wrap__ZN7cpgring3ipc11ring_writer5stageEj(cpgring::ipc::ring_writer* self,
                                                 std::uint32_t bytes) noexcept;
void __wrap__ZN7cpgring3ipc11ring_writer5stageEj(cpgring::ipc::ring_writer* self,
                                                 std::uint32_t bytes) noexcept {
  for (auto* const stacks : {committed, committed_anywhere}) {
    if (stacks != nullptr) {
      stacks->push_back(call_stack());
    }
  }
  __real__ZN7cpgring3ipc11ring_writer5stageEj(self, bytes);
}
}
// NOLINTEND
