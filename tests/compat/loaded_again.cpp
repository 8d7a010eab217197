// Loads and unloads libcpg repeatedly, with a handle in between, and checks that nothing grows. Usage:
// loaded_again LIBRARY, where a service "cpg" runs.
#include <dlfcn.h>
#include <malloc.h>

#include <corosync/cpg.h>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace {

bool open_and_close(const char* library) {
  void* const loaded = ::dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (loaded == nullptr) {
    std::fprintf(stderr, "%s\n", ::dlerror());
    return false;
  }
  const auto initialize = reinterpret_cast<decltype(&cpg_initialize)>(::dlsym(loaded, "cpg_initialize"));
  const auto finalize = reinterpret_cast<decltype(&cpg_finalize)>(::dlsym(loaded, "cpg_finalize"));
  cpg_callbacks_t none{};
  cpg_handle_t handle = 0;
  const bool good = initialize != nullptr && finalize != nullptr && initialize(&handle, &none) == CS_OK &&
                    finalize(handle) == CS_OK;
  ::dlclose(loaded);
  return good;
}

std::size_t mappings() {
  std::ifstream file("/proc/self/maps");
  std::size_t count = 0;
  for (std::string line; std::getline(file, line);) {
    ++count;
  }
  return count;
}

std::size_t descriptors() {
  const auto all = std::filesystem::directory_iterator("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

}  // namespace

int main(int argc, char** argv) {
  constexpr int rounds = 200;
  if (argc != 2) {
    std::fprintf(stderr, "loaded_again LIBRARY\n");
    return 64;
  }
  for (int i = 0; i < 10; ++i) {
    if (!open_and_close(argv[1])) {
      return 1;
    }
  }
  const std::size_t maps = mappings(), fds = descriptors(), heap = ::mallinfo2().uordblks;
  for (int i = 0; i < rounds; ++i) {
    if (!open_and_close(argv[1])) {
      return 1;
    }
  }
  const auto grown = static_cast<long>(::mallinfo2().uordblks) - static_cast<long>(heap);
  std::printf("after %d rounds: %+ld mappings, %+ld descriptors, %+ld bytes of heap\n", rounds,
              static_cast<long>(mappings() - maps), static_cast<long>(descriptors() - fds), grown);
  return mappings() == maps && descriptors() == fds && grown < rounds * 16 ? 0 : 1;
}
