// Prints the behaviour of a libcpg, case by case, as lines of text. Stock libcpg and ours must print the same
// lines. See ../conformance.py.
//
//   conformance --list | CASE
#include <unistd.h>

#include <cstdio>
#include <string>

#include "stage.hpp"

int main(int argc, char** argv) {
  using namespace conformance;
  add_handles();
  add_groups();
  add_messages();
  add_dispatch();
  add_leaving();
  add_questions();
  add_other_processes();
  if (argc == 2 && std::string(argv[1]) == "--list") {
    for (const auto& [name, run] : cases()) {
      std::printf("%s\n", name.c_str());
    }
    return 0;
  }
  const auto found = argc == 2 ? cases().find(argv[1]) : cases().end();
  if (found == cases().end()) {
    std::fprintf(stderr, "conformance --list | CASE\n");
    return 2;
  }
  found->second();
  std::fflush(stdout);
  ::_exit(0);  // the service frees what is still open
}
