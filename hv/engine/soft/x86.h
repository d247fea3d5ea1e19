/* hv/engine/soft/x86.h - names of architectural bits.  Source: AMD64 APM
 * volume 2, chapters 3, 5 and 8; Intel SDM volume 3A, chapters 2, 4 and 6.
 */
#ifndef HV_ENGINE_SOFT_X86_H
#define HV_ENGINE_SOFT_X86_H

enum {
	X_DE,
	X_DB,
	X_NMI,
	X_BP,
	X_OF,
	X_BR,
	X_UD,
	X_NM,
	X_DF,
	X_TS = 10,
	X_NP,
	X_SS,
	X_GP,
	X_PF,
	X_MF = 16,
	X_AC,
	X_MC,
	X_XM
};

#define FL_CF	 0x1ull
#define FL_PF	 0x4ull
#define FL_AF	 0x10ull
#define FL_ZF	 0x40ull
#define FL_SF	 0x80ull
#define FL_TF	 0x100ull
#define FL_IF	 0x200ull
#define FL_DF	 0x400ull
#define FL_OF	 0x800ull
#define FL_IOPL	 0x3000ull
#define FL_NT	 0x4000ull
#define FL_RF	 0x10000ull
#define FL_VM	 0x20000ull
#define FL_AC	 0x40000ull
#define FL_VIF	 0x80000ull
#define FL_VIP	 0x100000ull
#define FL_ID	 0x200000ull
#define FL_ARITH (FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF)

#define CR0_PE 0x1ull
#define CR0_MP 0x2ull
#define CR0_EM 0x4ull
#define CR0_TS 0x8ull
#define CR0_ET 0x10ull
#define CR0_NE 0x20ull
#define CR0_WP 0x10000ull
#define CR0_AM 0x40000ull
#define CR0_NW 0x20000000ull
#define CR0_CD 0x40000000ull
#define CR0_PG 0x80000000ull

#define CR4_VME	       0x1ull
#define CR4_TSD	       0x4ull
#define CR4_DE	       0x8ull
#define CR4_PSE	       0x10ull
#define CR4_PAE	       0x20ull
#define CR4_MCE	       0x40ull
#define CR4_PGE	       0x80ull
#define CR4_PCE	       0x100ull
#define CR4_OSFXSR     0x200ull
#define CR4_OSXMMEXCPT 0x400ull
#define CR4_UMIP       0x800ull
#define CR4_FSGSBASE   0x10000ull
#define CR4_PCIDE      0x20000ull
#define CR4_OSXSAVE    0x40000ull
#define CR4_SMEP       0x100000ull
#define CR4_SMAP       0x200000ull

#define EFER_SCE 0x1ull
#define EFER_LME 0x100ull
#define EFER_LMA 0x400ull
#define EFER_NXE 0x800ull

#define PTE_P  0x1ull
#define PTE_W  0x2ull
#define PTE_U  0x4ull
#define PTE_A  0x20ull
#define PTE_D  0x40ull
#define PTE_PS 0x80ull
#define PTE_G  0x100ull
#define PTE_NX 0x8000000000000000ull

#define PF_P 1u
#define PF_W 2u
#define PF_U 4u
#define PF_R 8u
#define PF_I 16u

#define DR6_FIXED 0xffff0ff0ull
#define DR6_BD	  0x2000ull
#define DR6_BS	  0x4000ull
#define DR7_FIXED 0x400ull
#define DR7_GD	  0x2000ull

#define MSR_TSC		   0x10u
#define MSR_SYSENTER_CS	   0x174u
#define MSR_SYSENTER_ESP   0x175u
#define MSR_SYSENTER_EIP   0x176u
#define MSR_PAT		   0x277u
#define MSR_EFER	   0xc0000080u
#define MSR_STAR	   0xc0000081u
#define MSR_LSTAR	   0xc0000082u
#define MSR_CSTAR	   0xc0000083u
#define MSR_SFMASK	   0xc0000084u
#define MSR_FS_BASE	   0xc0000100u
#define MSR_GS_BASE	   0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define MSR_TSC_AUX	   0xc0000103u

#endif
