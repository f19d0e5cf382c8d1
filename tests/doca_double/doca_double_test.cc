// The double itself: it finds out what DOCA forbids. Without that the other tests could not fail.
#include <doca_buf.h>
#include <doca_buf_inventory.h>
#include <doca_ctx.h>
#include <doca_dev.h>
#include <doca_dma.h>
#include <doca_mmap.h>
#include <doca_pe.h>

#include <array>
#include <cstring>

#include "double_fixture.h"

namespace shadowserve {
namespace {

using testing::Contains;
using testing::HasSubstr;

/// The least that copies: two buffers, one task, two to make mistakes with.
class DoubleTest : public OnTheDouble {
 protected:
  void SetUp() override {
    doca_devinfo** list = nullptr;
    uint32_t count = 0;
    ASSERT_EQ(doca_devinfo_create_list(&list, &count), DOCA_SUCCESS);
    ASSERT_EQ(doca_dev_open(list[0], &device_), DOCA_SUCCESS);
    doca_devinfo_destroy_list(list);
    doca_mmap_create(&map_);
    doca_mmap_set_memrange(map_, memory_.data(), memory_.size());
    doca_mmap_add_dev(map_, device_);
    ASSERT_EQ(doca_mmap_start(map_), DOCA_SUCCESS);
    doca_buf_inventory_create(2, &inventory_);
    doca_buf_inventory_start(inventory_);
    doca_pe_create(&engine_);
    doca_dma_create(device_, &dma_);
    doca_dma_task_memcpy_set_conf(dma_, &count_end, &count_end, 2);
    doca_ctx_set_user_data(context(), doca_data{&ends_});
    doca_pe_connect_ctx(engine_, context());
    ASSERT_EQ(doca_ctx_start(context()), DOCA_SUCCESS);
    std::memset(memory_.data(), 7, 100);
    ASSERT_EQ(doca_buf_inventory_buf_get_by_data(inventory_, map_, memory_.data(), 100, &from_),
              DOCA_SUCCESS);
    ASSERT_EQ(doca_buf_inventory_buf_get_by_addr(inventory_, map_, &memory_[200], 100, &to_), DOCA_SUCCESS);
    ASSERT_EQ(doca_dma_task_memcpy_alloc_init(dma_, from_, to_, {}, &copy_), DOCA_SUCCESS);
    task_ = doca_dma_task_memcpy_as_task(copy_);
  }
  static void count_end(doca_dma_task_memcpy*, doca_data, doca_data ends) { ++*static_cast<int*>(ends.ptr); }
  doca_ctx* context() { return doca_dma_as_ctx(dma_); }
  doca_error_t submit() { return doca_task_submit_ex(task_, DOCA_TASK_SUBMIT_FLAG_FLUSH); }
  void run() {
    while (doca_pe_progress(engine_) != 0) continue;
  }
  void put_away() {
    run();
    doca_task_free(task_);
    doca_buf_dec_refcount(from_, nullptr);
    doca_buf_dec_refcount(to_, nullptr);
    doca_ctx_stop(context());
    run();
    doca_dma_destroy(dma_);
    doca_pe_destroy(engine_);
    doca_buf_inventory_destroy(inventory_);
    doca_mmap_destroy(map_);
    doca_dev_close(device_);
    EXPECT_EQ(doca_double::objects_alive(), 0u);
  }
  void expect_complaint(const char* about) {
    EXPECT_THAT(doca_double::complaints(), Contains(HasSubstr(about)));
  }

  std::array<std::byte, 4096> memory_{};
  doca_dev* device_ = nullptr;
  doca_mmap* map_ = nullptr;
  doca_buf_inventory* inventory_ = nullptr;
  doca_pe* engine_ = nullptr;
  doca_dma* dma_ = nullptr;
  doca_buf* from_ = nullptr;
  doca_buf* to_ = nullptr;
  doca_dma_task_memcpy* copy_ = nullptr;
  doca_task* task_ = nullptr;
  int ends_ = 0;
};

TEST_F(DoubleTest, CopiesWhenItIsDrivenAndNotBefore) {
  ASSERT_EQ(submit(), DOCA_SUCCESS);
  EXPECT_NE(memory_[200], std::byte{7});
  run();
  EXPECT_EQ(memory_[299], std::byte{7});
  EXPECT_NE(memory_[300], std::byte{7});
  EXPECT_EQ(ends_, 1);
  put_away();
  expect_clean();
}

TEST_F(DoubleTest, WithoutAFlushATaskMayWaitForEver) {
  ASSERT_EQ(doca_task_submit_ex(task_, DOCA_TASK_SUBMIT_FLAG_NONE), DOCA_SUCCESS);
  run();
  EXPECT_EQ(ends_, 0);
  doca_ctx_stop(context());
  put_away();
}

TEST_F(DoubleTest, FindsMisuseOfTasks) {
  ASSERT_EQ(submit(), DOCA_SUCCESS);
  (void)submit();
  expect_complaint("a task is submitted that is under way");
  doca_dma_task_memcpy_set_dst(copy_, to_);
  expect_complaint("the destination of a task that is not the caller's");
  doca_ctx_stop(context());
  run();
  (void)doca_double::complaints();
  put_away();
  expect_clean();
}

TEST_F(DoubleTest, FindsMisuseOfBuffers) {
  ASSERT_EQ(submit(), DOCA_SUCCESS);
  doca_buf_inventory_buf_reuse_by_data(from_, memory_.data(), 50);
  expect_complaint("a buffer is moved while a task has it");
  run();
  EXPECT_NE(doca_buf_inventory_buf_reuse_by_addr(to_, &memory_[4000], 200), DOCA_SUCCESS) << "beyond the map";
  behaviour().copy_bytes_max = 10;
  ASSERT_EQ(submit(), DOCA_SUCCESS);
  expect_complaint("larger than the device's maximum");
  put_away();
}

TEST_F(DoubleTest, FindsObjectsDestroyedInTheWrongOrder) {
  doca_mmap_destroy(map_);
  expect_complaint("a memory map is destroyed that buffers point to");
  doca_buf_inventory_destroy(inventory_);
  expect_complaint("an inventory is destroyed");
  doca_dma_destroy(dma_);
  expect_complaint("a context is destroyed that is not idle");
  doca_pe_destroy(engine_);
  expect_complaint("a progress engine is destroyed");
  doca_dev_close(device_);
  expect_complaint("a device is closed that is in use");
  EXPECT_EQ(doca_double::objects_alive(), 5u) << "nothing of that went";
  put_away();
}

TEST_F(DoubleTest, AStoppedContextGivesTasksBackAndIsIdleWhenTheyAreFreed) {
  ASSERT_EQ(submit(), DOCA_SUCCESS);
  EXPECT_EQ(doca_ctx_stop(context()), DOCA_ERROR_IN_PROGRESS);
  run();
  EXPECT_EQ(ends_, 1);
  EXPECT_NE(memory_[200], std::byte{7});
  doca_ctx_states state = DOCA_CTX_STATE_IDLE;
  doca_ctx_get_state(context(), &state);
  EXPECT_EQ(state, DOCA_CTX_STATE_STOPPING);
  put_away();
  expect_clean();
}

}  // namespace
}  // namespace shadowserve
