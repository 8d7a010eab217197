// Opens a handle and prints the result of cpg_initialize(); for set_uid.sh.
#include <corosync/cpg.h>
#include <cstdio>

int main() {
  cpg_callbacks_t none{};
  cpg_handle_t handle = 0;
  std::printf("%d\n", static_cast<int>(cpg_initialize(&handle, &none)));
}
