// Of the DOCA double: memory that a device may reach.
#pragma once

#include <doca_error.h>
#include <doca_types.h>

#ifdef __cplusplus
extern "C" {
#endif

doca_error_t doca_mmap_create(struct doca_mmap** mmap);
doca_error_t doca_mmap_destroy(struct doca_mmap* mmap);
doca_error_t doca_mmap_set_memrange(struct doca_mmap* mmap, void* addr, size_t len);
doca_error_t doca_mmap_get_memrange(const struct doca_mmap* mmap, void** addr, size_t* len);
doca_error_t doca_mmap_set_permissions(struct doca_mmap* mmap, uint32_t access_mask);
doca_error_t doca_mmap_add_dev(struct doca_mmap* mmap, struct doca_dev* dev);
doca_error_t doca_mmap_start(struct doca_mmap* mmap);
doca_error_t doca_mmap_export_pci(struct doca_mmap* mmap, const struct doca_dev* dev,
                                  const void** export_desc, size_t* export_desc_len);
doca_error_t doca_mmap_create_from_export(const union doca_data* user_data, const void* export_desc,
                                          size_t export_desc_len, struct doca_dev* dev,
                                          struct doca_mmap** mmap);

#ifdef __cplusplus
}
#endif
