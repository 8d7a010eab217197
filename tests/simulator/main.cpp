// Runs simulated histories of channels: channel_simulator [--first SEED] [--count N] [--plant FAULT]
//
// Exits with 1 at the first history in which a promise is broken. With --plant, one fault is planted and the
// simulator must find it: exits with 1 if no history shows it.
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

#include "channel/planted_faults.hpp"
#include "simulator/world.hpp"

namespace {

using cpgring::channel::planted_fault;

constexpr std::array<std::pair<std::string_view, planted_fault>, 7> faults{{
    {"state_without_hello", planted_fault::state_without_hello},
    {"table_of_the_sending", planted_fault::table_of_the_sending},
    {"log_not_replayed", planted_fault::log_not_replayed},
    {"merge_before_own_state", planted_fault::merge_before_own_state},
    {"transfers_not_voided", planted_fault::transfers_not_voided},
    {"restart_before_the_first", planted_fault::restart_before_the_first},
    {"transfer_of_earlier_stay", planted_fault::transfer_of_earlier_stay},
}};

int usage() {
  std::fprintf(stderr, "channel_simulator [--first SEED] [--count N] [--plant FAULT]; the faults are:\n");
  for (const auto& [name, fault] : faults) {
    std::fprintf(stderr, "  %s\n", std::string(name).c_str());
  }
  return 64;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace cpgring::channel;
  std::uint64_t first = 1, count = 1000;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view option = argv[i], value = argv[i + 1];
    if (option == "--first") {
      first = std::strtoull(argv[i + 1], nullptr, 10);
    } else if (option == "--count") {
      count = std::strtoull(argv[i + 1], nullptr, 10);
    } else if (option == "--plant") {
      for (const auto& [name, fault] : faults) {
        planted = name == value ? fault : planted;
      }
      if (planted == planted_fault::none) {
        return usage();
      }
    } else {
      return usage();
    }
  }
  if (argc % 2 == 0) {
    return usage();
  }

  const auto began = std::chrono::steady_clock::now();
  simulator::statistics all;
  std::uint64_t failed = 0;
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    try {
      all += simulator::world(seed).run();
    } catch (const simulator::violation& what) {
      if (failed++ == 0) {
        std::printf("seed %llu: %s\n", static_cast<unsigned long long>(seed), what.what());
      }
      if (planted == planted_fault::none) {
        break;
      }
    }
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  const auto n = [](std::uint64_t number) { return static_cast<unsigned long long>(number); };
  std::printf(
      "%llu seeds, %llu failed, %.1f s: %llu pairs checked, %llu deliveries, %llu merges of sides, "
      "%llu half merged, %llu partitions, %llu crashes, %llu processes merged, %llu operations replayed, "
      "%llu STATEs ignored, %llu transfers restarted\n",
      n(count), n(failed), seconds, n(all.checks), n(all.deliveries), n(all.merges), n(all.half_merged),
      n(all.partitions), n(all.crashes), n(all.merged), n(all.replayed), n(all.states_ignored),
      n(all.restarted));
  return (failed != 0) == (planted == planted_fault::none) ? 1 : 0;
}
