// Of the DOCA double: finding and opening devices.
#pragma once

#include <doca_error.h>
#include <doca_types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DOCA_DEVINFO_PCI_ADDR_SIZE 13

doca_error_t doca_devinfo_create_list(struct doca_devinfo*** dev_list, uint32_t* nb_devs);
doca_error_t doca_devinfo_destroy_list(struct doca_devinfo** dev_list);
doca_error_t doca_devinfo_get_pci_addr_str(const struct doca_devinfo* devinfo, char* pci_addr_str);
doca_error_t doca_dev_open(struct doca_devinfo* devinfo, struct doca_dev** dev);
doca_error_t doca_dev_close(struct doca_dev* dev);
struct doca_devinfo* doca_dev_as_devinfo(const struct doca_dev* dev);

#ifdef __cplusplus
}
#endif
