/* As much of Mach, of libports and of the C library as libpager sees of them, for a
   host that has none: main.c plays the kernels.

   Copyright 2026 The hurdlab authors
   SPDX-License-Identifier: GPL-2.0-or-later  */

#ifndef FAKE_H
#define FAKE_H

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned mach_port_t, mach_msg_size_t, mach_msg_bits_t, mach_msg_type_number_t;
typedef unsigned mach_msg_timeout_t, natural_t;
typedef int kern_return_t, mach_msg_return_t, mach_msg_option_t, boolean_t, vm_prot_t;
typedef int memory_object_copy_strategy_t, memory_object_return_t;
typedef uintptr_t vm_address_t, vm_offset_t, vm_size_t;
typedef mach_port_t memory_object_t;

typedef struct
{
  mach_msg_bits_t msgh_bits;
  mach_msg_size_t msgh_size;
  mach_port_t msgh_remote_port;
  union
  {
    mach_port_t msgh_local_port;
    uintptr_t msgh_protected_payload;
  };
  unsigned msgh_seqno;
  int msgh_id;
} mach_msg_header_t;
typedef struct
{
  unsigned msgt_name : 8, msgt_size : 8, msgt_number : 12, msgt_inline : 1;
} mach_msg_type_t;
typedef struct { mach_msg_header_t Head; mach_msg_type_t RetCodeType; kern_return_t RetCode; } mig_reply_header_t;
typedef struct { mach_msg_header_t not_header; int not_type; mach_port_t not_port; }
  mach_dead_name_notification_t;
typedef void (*mig_routine_t) (mach_msg_header_t *, mach_msg_header_t *);

enum
{
  MACH_PORT_NULL = 0, MACH_MSG_TYPE_MAKE_SEND = 20, MACH_MSG_TYPE_MAKE_SEND_ONCE = 21,
  MACH_MSG_TYPE_PROTECTED_PAYLOAD = 23,
  MACH_SEND_MSG = 1, MACH_SEND_TIMEOUT = 0x10, MACH_SEND_INVALID_DEST = 0x10000003, MACH_SEND_TIMED_OUT,
  MACH_NOTIFY_NO_SENDERS = 70, MACH_NOTIFY_SEND_ONCE, MACH_NOTIFY_DEAD_NAME, MIG_NO_REPLY = -305, MIG_BAD_ID = -303,
  VM_PROT_NONE = 0, VM_PROT_READ, VM_PROT_WRITE, VM_PROT_EXECUTE = 4, VM_PROT_NO_CHANGE = 8,
  MEMORY_OBJECT_RETURN_NONE = 0, MEMORY_OBJECT_RETURN_DIRTY, MEMORY_OBJECT_RETURN_ALL,
  HOST_BASIC_INFO = 1, HOST_BASIC_INFO_COUNT = 8,
};
#define MACH_PORT_DEAD (~(mach_port_t) 0)
#define MACH_PORT_VALID(x) ((x) != MACH_PORT_NULL && (x) != MACH_PORT_DEAD)
#define MACH_MSG_TYPE_INTEGER_32 2
#define MACH_MSGH_BITS(r, l) ((r) | (l) << 8)
#define MACH_MSGH_BITS_REMOTE(b) ((b) & 0xff)
#define MACH_MSGH_BITS_LOCAL(b) (((b) >> 8) & 0xff)
#define vm_page_size ((vm_size_t) 4096)

#define mach_task_self() ((mach_port_t) 1)
/* The C library's own rights: whoever asks for them has no reference.  */
#define mach_host_self() ((mach_port_t) 2)
kern_return_t mach_port_deallocate (mach_port_t task, mach_port_t name);
kern_return_t mach_port_destroy (mach_port_t task, mach_port_t name);
kern_return_t mach_port_request_notification (mach_port_t task, mach_port_t name, int variant,
					      natural_t sync, mach_port_t notify, int type,
					      mach_port_t *old);
typedef unsigned mach_port_type_t, mach_port_seqno_t;
typedef struct { mach_port_seqno_t mps_seqno; unsigned mps_msgcount, mps_mscount, mps_srights; }
  mach_port_status_t;
kern_return_t mach_port_get_receive_status (mach_port_t task, mach_port_t name,
					    mach_port_status_t *status);
#define MACH_PORT_TYPE_DEAD_NAME 0x100000
kern_return_t mach_port_type (mach_port_t task, mach_port_t name, mach_port_type_t *type);
mach_msg_return_t mach_msg (mach_msg_header_t *m, mach_msg_option_t option, mach_msg_size_t size,
			    mach_msg_size_t receive, mach_port_t port, mach_msg_timeout_t timeout,
			    mach_port_t notify);
void mach_msg_destroy (mach_msg_header_t *m);
typedef struct { int max_cpus, avail_cpus; } host_basic_info_data_t;
typedef int *host_info_t;
#define host_info(host, what, info, n) ((void) (n), ((host_basic_info_data_t *) (info))->avail_cpus = 1, 0)

/* libports.  */

struct port_class { void (*clean) (void *), (*dropweak) (void *); };
struct port_bucket;
struct port_info
{
  struct port_class *class;
  struct port_bucket *bucket;
  mach_port_t port_right;
  unsigned hard, weak;
  natural_t mscount;
  int has_senders, gone;
  int in_hand;			/* messages that a receiver has not handed on yet */
};
struct ports_threadpool { int none; };
struct ports_thread { int none; };
struct port_bucket { mach_port_t portset; struct ports_threadpool threadpool; };
typedef int (*ports_demuxer_type) (mach_msg_header_t *, mach_msg_header_t *);

struct port_bucket *ports_create_bucket (void);
struct port_class *ports_create_class (void (*clean) (void *), void (*dropweak) (void *));
error_t ports_create_port (struct port_class *class, struct port_bucket *bucket, size_t size,
			   void *result);
void ports_port_ref (void *);
void ports_port_deref (void *);
void ports_port_ref_weak (void *);
void ports_port_deref_weak (void *);
void *ports_lookup_port (struct port_bucket *, mach_port_t, struct port_class *);
void *ports_lookup_payload (struct port_bucket *, uintptr_t, struct port_class *);
mach_port_t ports_get_right (void *);
mach_port_t ports_get_send_right (void *);
error_t ports_destroy_right (void *);
void ports_no_senders (void *, natural_t mscount);
void _ports_thread_online (struct ports_threadpool *, struct ports_thread *);
void _ports_thread_quiescent (struct ports_threadpool *, struct ports_thread *);
mach_msg_return_t mach_msg_server_timeout (ports_demuxer_type, unsigned size, mach_port_t set,
					   int option, unsigned timeout);

/* What MIG makes.  */

struct pager;
mig_routine_t _pager_memory_object_server_routine (const mach_msg_header_t *);
mig_routine_t ports_notify_server_routine (const mach_msg_header_t *);
kern_return_t _pager_S_memory_object_init (struct pager *, mach_port_t, mach_port_t, vm_size_t);
kern_return_t _pager_S_memory_object_terminate (struct pager *, mach_port_t, mach_port_t);
kern_return_t _pager_S_memory_object_data_request (struct pager *, mach_port_t, vm_offset_t,
						   vm_size_t, vm_prot_t);
kern_return_t _pager_S_memory_object_data_unlock (struct pager *, mach_port_t, vm_offset_t,
						  vm_size_t, vm_prot_t);
kern_return_t _pager_S_memory_object_lock_completed (struct pager *, mach_port_t, vm_offset_t,
						     vm_size_t);
kern_return_t _pager_S_memory_object_data_return (struct pager *, mach_port_t, vm_offset_t,
						  vm_offset_t, mach_msg_type_number_t, boolean_t,
						  boolean_t);
kern_return_t _pager_S_memory_object_change_completed (struct pager *, boolean_t,
						       memory_object_copy_strategy_t);
kern_return_t _pager_S_memory_object_copy (struct pager *, mach_port_t, vm_offset_t, vm_size_t,
					   mach_port_t);
kern_return_t _pager_S_memory_object_supply_completed (struct pager *, mach_port_t, vm_offset_t,
						       vm_size_t, kern_return_t, vm_offset_t);
mig_routine_t _pager_pager_info_server_routine (const mach_msg_header_t *);
kern_return_t _pager_S_pager_info (struct pager *, char[512], mach_msg_type_number_t *);
kern_return_t _pager_S_pager_detach (struct pager *, mach_port_t);
kern_return_t _pager_send_lock_request (mach_port_t, vm_offset_t, vm_size_t,
					memory_object_return_t, boolean_t, vm_prot_t, mach_port_t);
kern_return_t _pager_send_data_error (mach_port_t, vm_offset_t, vm_size_t, kern_return_t);
kern_return_t _pager_send_destroy (mach_port_t, kern_return_t);
kern_return_t _pager_send_data_supply (mach_port_t, vm_offset_t, vm_offset_t,
				       mach_msg_type_number_t, vm_prot_t, boolean_t, mach_port_t);
kern_return_t _pager_send_ready (mach_port_t, boolean_t, memory_object_copy_strategy_t);
kern_return_t _pager_send_change_attributes (mach_port_t, boolean_t,
					     memory_object_copy_strategy_t, mach_port_t);

/* libpager's own header is the Hurd's; this is as much of it as is needed.  */

struct user_pager_info;
struct pager_requests;
error_t pager_start_workers (struct port_bucket *, struct pager_requests **);
struct pager *pager_create (struct user_pager_info *, struct port_bucket *, boolean_t,
			    memory_object_copy_strategy_t, boolean_t);
struct pager *pager_create_alloc (size_t, struct port_bucket *, boolean_t,
				  memory_object_copy_strategy_t, boolean_t);
struct user_pager_info *pager_get_upi (struct pager *);
mach_port_t pager_create_ro_port (struct pager *);
void pager_sync (struct pager *, int);
void pager_flush_some (struct pager *, vm_address_t, vm_size_t, int);
void pager_return_some (struct pager *, vm_address_t, vm_size_t, int);
void pager_change_attributes (struct pager *, boolean_t, memory_object_copy_strategy_t, int);
void pager_shutdown (struct pager *);
error_t pager_read_page (struct user_pager_info *, vm_offset_t, vm_address_t *, int *);
error_t pager_write_page (struct user_pager_info *, vm_offset_t, vm_address_t);
error_t pager_write_pages (struct user_pager_info *, vm_offset_t, vm_address_t, vm_size_t,
			   vm_size_t *);
error_t pager_unlock_page (struct user_pager_info *, vm_offset_t);
void pager_notify_evict (struct user_pager_info *, vm_offset_t);
void pager_clear_user_data (struct user_pager_info *);
void pager_dropweak (struct user_pager_info *);

#endif
